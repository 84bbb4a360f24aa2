"""A person who is logged in, and what that person may do. Pure: it imports no way to log in."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from starlette.requests import Request
from starlette.types import Scope

from delivery.settings import WebSettings

Role = Literal["reader", "personal_data", "operator"]

GROUP = "group:"  # how a group is written among names


@dataclass(frozen=True)
class Identity:
    """Somebody who is logged in."""

    name: str
    roles: frozenset[Role]


def identity(name: str, groups: Collection[str], settings: WebSettings) -> Identity:
    """The roles of a name and its groups.

    Where no readers are named, whoever is logged in may read. The other roles are only for those
    who are named, and may read too.
    """
    keys = {name, *(f"{GROUP}{group}" for group in groups)}
    roles: set[Role] = set()
    if keys & set(settings.web_personal_data_readers):
        roles.add("personal_data")
    if keys & set(settings.web_operators):
        roles.add("operator")
    if roles or not settings.web_readers or keys & set(settings.web_readers):
        roles.add("reader")
    return Identity(name, frozenset(roles))


def identity_of(scope: Scope) -> Identity | None:
    """Who asks; None where there is no login."""
    found: Identity | None = scope.get("state", {}).get("identity")
    return found


def shows_personal_data(request: Request) -> bool:
    """Whether the service shows it to everybody."""
    shows: bool = request.app.state.settings.web_show_personal_data
    return shows


def has_role(scope: Scope, role: Role) -> bool:
    """Whether the one who asks has a role. Nobody has one where there is no login."""
    found = identity_of(scope)
    return found is not None and role in found.roles
