"""The zone in which a visitor reads times: the one chosen on a page, in a cookie, or the setting's.

Whatever renders or reads times for a request asks `zone`, in whatever thread it does.
"""

from contextvars import ContextVar
from datetime import UTC, datetime, tzinfo

from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from delivery.local_time import zones
from delivery.web import prefix

COOKIE = "delivery_zone"
_A_YEAR_S = 365 * 86_400
_LONGEST = 64  # characters of a zone's name

_zone: ContextVar[tzinfo] = ContextVar("zone", default=UTC)


class VisitorsZone:
    """ASGI middleware that sets the zone before anything reads or renders a time."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope)
            _zone.set(_of_cookie(request) or request.app.state.settings.display_timezone)
        await self.app(scope, receive, send)


def zone() -> tzinfo:
    """The zone of the request at hand."""
    return _zone.get()


def described() -> str:
    """The zone with its offset of today: `Asia/Seoul, +09:00`; `UTC` alone."""
    name = zones.name(zone())
    offset = zones.iso_offset(datetime.now(zone()))
    return name if name.startswith("UTC") else f"{name}, {offset}"


def read(name: str) -> tzinfo:
    """The zone that somebody typed. Raises ValueError, which says how one is written."""
    found = zones.named(name.strip()) if len(name) <= _LONGEST else None
    if found is None:
        raise ValueError("Must be a time zone such as Asia/Seoul, UTC or KST.")
    return found


def chosen(name: str, back: str) -> Response:
    """Leads back to the page with the zone kept; an empty name forgets it. Raises ValueError."""
    response = RedirectResponse(prefix.address(prefix.own_path(back)), 303)
    path = prefix.base() or "/"  # what else the host serves does not see it
    if not name.strip():
        response.delete_cookie(COOKIE, path=path)
        return response
    key = zones.name(read(name))
    response.set_cookie(COOKIE, key, _A_YEAR_S, path=path, httponly=True, samesite="lax")
    return response


def _of_cookie(request: Request) -> tzinfo | None:
    """None where there is none, or one that is no zone: nobody is kept out by a cookie."""
    try:
        return read(request.cookies.get(COOKIE, ""))
    except ValueError:
        return None
