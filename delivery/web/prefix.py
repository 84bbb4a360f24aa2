"""The path below which a proxy shows the pages: `/delivery` in `https://example.com/delivery/events`.

Inside, no path has it. It is taken from what is asked for, if the proxy has not done that, and put
before each address that leads back here: links, forms, redirects.
"""

from contextvars import ContextVar

from starlette.types import ASGIApp, Receive, Scope, Send

_prefix: ContextVar[str] = ContextVar("prefix", default="")


class Prefix:
    """ASGI middleware around all that looks at a path."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self.app = app
        self.prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            _prefix.set(self.prefix)
            if (rest := self._without(scope["path"])) is not None:
                scope = {**scope, "path": rest}
        await self.app(scope, receive, send)

    def _without(self, path: str) -> str | None:
        """The rest of a path that begins with the prefix."""
        if not self.prefix or not f"{path}/".startswith(f"{self.prefix}/"):
            return None
        return path.removeprefix(self.prefix) or "/"


def base() -> str:
    """What stands before each path of ours in an address; empty without a prefix."""
    return _prefix.get()


def address(path: str) -> str:
    """Where a browser finds this path of ours."""
    return f"{base()}{path}"


def own_path(text: str) -> str:
    """The text if it is a path of ours, else the first page: no link leads elsewhere by way of one
    of ours.
    """
    is_ours = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable()
    return text if is_ours else "/"
