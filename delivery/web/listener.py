"""The socket on which `delivery serve` listens."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address

from delivery.errors import SettingsError

# Connections that wait to be accepted. asyncio accepts as many before it looks at the first.
BACKLOG = 128


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that accepts already; port 0 takes a free one.

    Raises SettingsError where it can't listen there.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:  # the latter: no host has such a name
        why = getattr(error, "strerror", None) or "it is not the name of a host"
        raise SettingsError(
            f"can't listen on {host} port {port}: {why}; see DELIVERY_WEB_HOST and "
            "DELIVERY_WEB_PORT"
        ) from error
    # Connections inherit it. Without it the kernel holds back the last part of a response until the
    # first part is acknowledged: 40 ms for each response.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with listener:
        yield listener


def is_loopback(listener: socket.socket) -> bool:
    """Whether only this machine reaches it."""
    return ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback


def url(listener: socket.socket) -> str:
    """The address to open in a browser."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
