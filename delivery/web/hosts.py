"""By which host names `delivery serve` may be called.

A page of somebody else's can have its own name point to the address of this service, and its script
then reads what the browser can reach, with that name in the Host header (DNS rebinding). A request
by an address or by localhost can't come from such a page.
"""

import re
from collections.abc import Callable, Sequence
from ipaddress import ip_address

import structlog
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from delivery.web.middleware import PROBES

log = structlog.get_logger()

ANY = "*"

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]]*)(?::\d*)?")
_LOGGED = 100  # characters


class AllowedHosts:
    """ASGI middleware that refuses requests by other names than these.

    `*.example.com` stands for each name below example.com, `*` for any name. Addresses, localhost
    and probes are always allowed.
    """

    def __init__(
        self, app: ASGIApp, names: Sequence[str], on_refusal: Callable[[Scope], Response]
    ) -> None:
        self.app = app
        self.names = names
        self.on_refusal = on_refusal  # makes the response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in PROBES:
            host = Headers(scope=scope).get("host")
            if host is not None and not is_allowed(host, self.names):
                log.warning("refused a host name", host=host[:_LOGGED])
                await self.on_refusal(scope)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def is_allowed(host: str, names: Sequence[str]) -> bool:
    """Whether a request with this Host header is to be answered."""
    found = _HOST.fullmatch(host.lower())
    if found is None:
        return False
    name = found[1].removesuffix(".")
    if name == "localhost" or name.endswith(".localhost") or _is_address(name):
        return True
    return any(_matches(name, allowed) for allowed in names)


def _is_address(name: str) -> bool:
    try:
        ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def _matches(name: str, allowed: str) -> bool:
    if allowed == ANY:
        return True
    return name.endswith(allowed[1:]) if allowed.startswith("*.") else name == allowed
