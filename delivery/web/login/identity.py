"""A person, and what that person may do. Pure."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from starlette.types import Scope

from delivery.settings import WebSettings

Role = Literal["reader"]

GROUP = "group:"  # how a group is written among names


@dataclass(frozen=True)
class Identity:
    """Somebody who is logged in."""

    name: str
    roles: frozenset[Role]


def identity(name: str, groups: Collection[str], settings: WebSettings) -> Identity:
    """The roles of a name and its groups. Where no readers are named, each login may read."""
    keys = {name, *(f"{GROUP}{group}" for group in groups)}
    roles: set[Role] = set()
    if not settings.web_readers or keys & set(settings.web_readers):
        roles.add("reader")
    return Identity(name, frozenset(roles))


def identity_of(scope: Scope) -> Identity | None:
    """Who asks; None where there is no login."""
    found: Identity | None = scope.get("state", {}).get("identity")
    return found
