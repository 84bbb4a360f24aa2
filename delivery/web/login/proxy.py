"""A proxy in front has done the login already, and names the user in a header."""

from collections.abc import Collection
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.types import Scope

from delivery.settings.values import Networks
from delivery.web.login.method import Refused


@dataclass(frozen=True)
class Proxy:
    """Believes the headers of these addresses, which must not let a client's own through."""

    trusted: Networks
    user_header: str
    groups_header: str
    challenge: str | None = None
    open_paths: Collection[str] = ()

    def who(self, scope: Scope, headers: Headers) -> tuple[str, Collection[str]] | Refused:
        """The name and the groups. Two headers may be the client's and the proxy's: refused."""
        if not self._is_trusted(scope):
            detail = "only the proxies of DELIVERY_WEB_TRUSTED_PROXIES may connect"
            return Refused(HTTPStatus.FORBIDDEN, detail)
        names = headers.getlist(self.user_header)
        if len(names) != 1 or not names[0].strip():
            detail = f"the proxy names nobody, or more than one, in {self.user_header}"
            return Refused(HTTPStatus.UNAUTHORIZED, detail)
        groups = ",".join(headers.getlist(self.groups_header)).split(",")
        return _text(names[0]), {_text(group) for group in groups if group.strip()}

    def _is_trusted(self, scope: Scope) -> bool:
        host, _ = scope.get("client") or ("", 0)
        if not host:
            return False
        address = ip_address(host)
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self.trusted)


def _text(header: str) -> str:
    """Headers are latin-1 for the server, and UTF-8 for most proxies."""
    try:
        return header.strip().encode("latin-1").decode()
    except UnicodeDecodeError:
        return header.strip()
