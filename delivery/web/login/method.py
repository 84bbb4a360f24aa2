"""What the ways to log in have in common."""

from collections.abc import Collection
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from starlette.datastructures import Headers
from starlette.types import Scope


@dataclass(frozen=True)
class Refused:
    """Why somebody may not come in: a status of HTTP, a sentence, and where to log in."""

    status: HTTPStatus
    detail: str
    way_in: str | None = None


class Method(Protocol):
    """A way to find out who asks."""

    @property
    def challenge(self) -> str | None:
        """How a browser is told to ask for a password, if it is to."""

    @property
    def open_paths(self) -> Collection[str]:
        """Where nobody has to be logged in."""

    def who(self, scope: Scope, headers: Headers) -> tuple[str, Collection[str]] | Refused:
        """The name and the groups. Raises SettingsError where nobody can be found out."""
