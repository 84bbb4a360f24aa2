"""What all responses share: headers for security, HEAD, a line in the log, and no traceback."""

import time
from collections.abc import Callable

import structlog
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from delivery.errors import UnavailableError
from delivery.log import raised_at

log = structlog.get_logger()

CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)

HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",  # unless the response says otherwise
}

PROBES = ("/healthz", "/readyz")


class ResponseMiddleware:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, on_bug: Callable[[Scope], Response]) -> None:
        self.app = app
        self.on_bug = on_bug  # makes the response where the application has a bug

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        method = scope["method"]
        scope = {**scope, "method": "GET" if method == "HEAD" else method}
        sender = _Sender(send, is_head=method == "HEAD")
        started = time.monotonic()
        try:
            await self.app(scope, receive, sender.send)
        except _AnsweredHead:
            pass
        except UnavailableError as error:  # in the middle of a response: its end must be missing
            log.warning("an answer breaks off", error=str(error))
            raise
        except Exception as error:
            await self._respond_to_bug(scope, receive, sender, error)
        _log(method, scope, sender.status, time.monotonic() - started)

    async def _respond_to_bug(
        self, scope: Scope, receive: Receive, sender: "_Sender", error: Exception
    ) -> None:
        """Names the bug in the log by kind and line, for its text may repeat the request."""
        log.error("a bug", error=type(error).__name__, where=raised_at(error))
        if sender.status:  # a response is under way already
            raise error
        await self.on_bug(scope)(scope, receive, sender.send)


class _AnsweredHead(Exception):  # noqa: N818 (it is none)
    """All of HEAD's answer is sent: what streams the rest may end."""


class _Sender:
    """Passes a response on, with the headers of all responses."""

    def __init__(self, send: Send, is_head: bool) -> None:
        self.status = 0
        self._send = send
        self._is_head = is_head

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        elif self._is_head:
            is_stream = message.get("more_body", False)
            message = {**message, "body": b"", "more_body": False}
            await self._send(message)
            if is_stream:
                raise _AnsweredHead
            return
        await self._send(message)


def _log(method: str, scope: Scope, status: int, seconds: float) -> None:
    """One line for each response. The path's template, not the path: no order's id, no filters."""
    path = getattr(scope.get("route"), "path", None)
    milliseconds = round(seconds * 1000, 1)
    write = log.debug if path in PROBES else log.info  # they come every few seconds
    write("answered", method=method, path=path, status=status, milliseconds=milliseconds)
