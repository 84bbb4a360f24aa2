"""A server in front of a broker that counts who comes, and one that never answers."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

BUFFER_BYTES = 65_536


class Relay:
    """Passes bytes on in both directions."""

    def __init__(self, port: int) -> None:
        self.connections = 0
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                caller, _ = self._listener.accept()
                self.connections += 1
                broker = socket.create_connection(self._target)
                for source, sink in ((caller, broker), (broker, caller)):
                    threading.Thread(target=_copy, args=(source, sink), daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(BUFFER_BYTES):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def relay(port: int) -> Iterator[Relay]:
    """A relay to this port of this machine."""
    running = Relay(port)
    try:
        yield running
    finally:
        running.close()


@contextmanager
def silent_server() -> Iterator[int]:
    """The port of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])
