"""An id for each request: taken from `X-Request-ID` or made, answered, and in each line of the log.

A proxy in front gives one, so that its log and ours can be read together.
"""

import logging
import re

import structlog
from asgi_correlation_id import CorrelationIdMiddleware, correlation_id
from starlette.types import ASGIApp, Receive, Scope, Send

HEADER = "X-Request-ID"

_ID = re.compile(r"[A-Za-z0-9._~:/+=@-]{1,128}", re.ASCII)

# It warns of each id that it replaces: strangers could fill the log.
logging.getLogger("asgi_correlation_id").setLevel(logging.ERROR)


def is_id(text: str) -> bool:
    """Whether a client may choose this id: one word that means nothing to a log or a terminal."""
    return _ID.fullmatch(text) is not None


def current() -> str | None:
    """The id of the request in hand."""
    return correlation_id.get()


class RequestIds:
    """ASGI middleware around all others; an id that is not valid is replaced."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._middleware = CorrelationIdMiddleware(self._logged, HEADER, validator=is_id)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._middleware(scope, receive, send)

    async def _logged(self, scope: Scope, receive: Receive, send: Send) -> None:
        with structlog.contextvars.bound_contextvars(request_id=current()):
            await self._app(scope, receive, send)
