"""Compresses what programs and browsers fetch in bulk."""

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

SMALLEST = 1000  # bytes; of less there is nothing to gain
LEVEL = 6

# A page repeats what the address says, beside personal data: whoever has a browser send guesses
# could tell from the length of what is compressed which one was right (BREACH). An answer of the
# API repeats nothing.
PATHS = ("/api/", "/static/")


class Compression(GZipMiddleware):
    """ASGI middleware: gzip for the API and static files, where the client takes it."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app, SMALLEST, LEVEL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(PATHS):
            await super().__call__(scope, receive, send)
        else:
            await self.app(scope, receive, send)
