"""The HTTP connections of strangers: how many there are, and how long each may be silent.

A connection costs a file descriptor, whatever its client sends. uvicorn waits without a limit for a
request's headers, and for a client that does not read, and takes connections until no descriptor is
left; then nobody is answered. Here each connection has a deadline, and where there are too many,
the one that has been without a request for the longest makes room.
"""

import asyncio
import resource
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS = 500

# Files, connections to PostgreSQL and Kafka, and what is accepted before it is counted: see
# `listener.BACKLOG`.
OTHER_DESCRIPTORS = 256

HEADER_TIMEOUT_S = 10.0  # for a request's headers, from the connection or the last response on
READ_TIMEOUT_S = 10.0  # for a client that reads nothing of its response


def most_connections() -> int:
    """How many connections fit into the process's limit of file descriptors."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(8, min(MOST_CONNECTIONS, descriptors - OTHER_DESCRIPTORS))


class BoundedConnection(H11Protocol):
    """A connection with deadlines, one of `most_connections`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.idle_since: float | None = None  # None while there is a request in hand
        self._header_deadline: asyncio.TimerHandle | None = None
        self._read_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_request()
        self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_header_deadline()
        self._cancel_read_deadline()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        super().handle_events()
        if self.cycle is not None and not self.cycle.response_complete:
            self.idle_since = None
            self._cancel_header_deadline()

    def on_response_complete(self) -> None:
        self._wait_for_request()
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        self._cancel_read_deadline()
        super().resume_writing()

    def _make_room(self) -> None:
        """Ends the connection that is idle for the longest, where this one is one too many."""
        if len(self.connections) <= (most := most_connections()):
            return
        open_ = [c for c in self.connections if not c.transport.is_closing()]
        if len(open_) > most:
            idle = {c.idle_since: c for c in open_ if isinstance(c, BoundedConnection)}
            idle[min(since for since in idle if since is not None)].transport.abort()

    def _wait_for_request(self) -> None:
        self._cancel_header_deadline()
        self.idle_since = self.loop.time()
        # Not a graceful close: it would wait for the client to read what was sent.
        self._header_deadline = self.loop.call_later(HEADER_TIMEOUT_S, self.transport.abort)

    def _wait_for_reader(self) -> None:
        self._cancel_read_deadline()
        left = self.transport.get_write_buffer_size()
        self._read_deadline = self.loop.call_later(READ_TIMEOUT_S, self._require_reading, left)

    def _require_reading(self, left: int) -> None:
        if self.transport.get_write_buffer_size() < left:
            self._wait_for_reader()
        else:
            self.transport.abort()

    def _cancel_header_deadline(self) -> None:
        if self._header_deadline is not None:
            self._header_deadline.cancel()
            self._header_deadline = None

    def _cancel_read_deadline(self) -> None:
        if self._read_deadline is not None:
            self._read_deadline.cancel()
            self._read_deadline = None
