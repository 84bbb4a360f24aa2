"""Ports on 127.0.0.1, and which one a server's folder had last."""

import random
import socket
import sys
from contextlib import closing
from pathlib import Path

from delivery.errors import EmbeddedUnavailableError

HOST = "127.0.0.1"


def remembered_port(folder: Path) -> int:
    """The port that the server of this folder was last started on, 0 if it never was."""
    try:
        return int((folder / "port").read_text())
    except (FileNotFoundError, ValueError):
        return 0


def take_port(folder: Path, wanted: int | None) -> int:
    """The wanted port, else the last one of this folder if it is free, else any free one.

    Raises EmbeddedUnavailableError where the wanted port is taken.
    """
    if wanted is not None and not _is_free(wanted):
        raise EmbeddedUnavailableError(f"port {wanted} on {HOST} is taken: choose another")
    last = remembered_port(folder)
    port = wanted or (last if last and _is_free(last) else free_port())
    (folder / "port").write_text(f"{port}\n")
    return port


def free_port(besides: int = 0) -> int:
    """Another port that nobody listens on, outside the ranges that systems take for outgoing
    connections (from 32768 on Linux, from 49152 on macOS): it's still free a second later, and no
    other process is given it meanwhile."""
    candidates = random.SystemRandom().sample(range(20_000, 30_000), 200)
    for port in candidates:
        if port != besides and _is_free(port) and _is_reserved(port):
            return port
    raise EmbeddedUnavailableError(f"no free port on {HOST} between 20000 and 30000")


def _is_reserved(port: int) -> bool:
    """Reserves the port until this process ends. Of those who ask for the same one, one is told so.

    A server takes seconds until it listens: of tests in three processes every hundredth run had
    two servers on one port. The name of an abstract socket is free again when its process ends,
    and leaves no file behind; Linux alone has it.
    """
    if sys.platform != "linux":
        return True
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0delivery port {port}")
    except OSError:
        name.close()
        return False
    name.detach()  # stays open
    return True


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        # As servers do: connections of a server that has ended must not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
