"""Who has logged in is remembered in a signed cookie (itsdangerous); the server keeps nothing.

The cookie may be written anew; when the session ends was decided at the login.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from urllib.parse import urlencode

from starlette.datastructures import Headers
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp, Scope

from delivery.web import prefix
from delivery.web.login.method import Refused

COOKIE = "delivery_session"
LOGIN, CALLBACK, LOGOUT = "/login", "/login/callback", "/logout"

_NAME, _GROUPS, _UNTIL = "name", "groups", "until"


@dataclass(frozen=True)
class Sessions:
    """Whoever has a session is logged in; who has none is shown the way."""

    challenge: str | None = None
    open_paths: Collection[str] = (LOGIN, CALLBACK, LOGOUT)

    def who(self, scope: Scope, headers: Headers) -> tuple[str, Collection[str]] | Refused:
        """The name and the groups of the session."""
        del headers
        session = scope["session"]
        if session.get(_UNTIL, 0) > time.time():
            return session[_NAME], session[_GROUPS]
        return Refused(HTTPStatus.UNAUTHORIZED, "log in first", way_in(_asked(scope)))


def begin(request: Request, name: str, groups: Collection[str], lifetime: timedelta) -> None:
    """From now on the browser is logged in, for so long."""
    until = time.time() + lifetime.total_seconds()
    request.session.clear()
    request.session.update({_NAME: name, _GROUPS: sorted(groups), _UNTIL: until})


def end(request: Request) -> None:
    """The browser forgets who it was."""
    request.session.clear()


def middleware(
    app: ASGIApp, key: bytes, lifetime: timedelta, path_prefix: str, *, is_secure: bool
) -> SessionMiddleware:
    """ASGI middleware that reads and writes the cookie."""
    return SessionMiddleware(
        app,
        key.hex(),
        COOKIE,
        max_age=int(lifetime.total_seconds()),
        path=path_prefix or "/",
        same_site="lax",  # it comes along when the provider leads back here
        https_only=is_secure,
    )


def way_in(back: str) -> str:
    """Where somebody logs in, to come back to this path of ours."""
    return prefix.address(f"{LOGIN}?{urlencode({'back': back})}")


def _asked(scope: Scope) -> str:
    """The page that was asked for; of a form that was sent, the first page."""
    url = Request(scope).url
    if scope["method"] != "GET":
        return "/"
    return f"{url.path}?{url.query}" if url.query else url.path
