"""Requests to a server that may never answer, for callers that need an answer soon."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock, Thread
from typing import Generic, TypeVar

from delivery.errors import UnavailableError

Result = TypeVar("Result")


@dataclass
class SingleFlight(Generic[Result]):
    """A call that runs at most once at a time: callers that come meanwhile share its result.

    `call` may block. It runs in a daemon thread of its own, which ends with the process.
    """

    call: Callable[[], Result]
    _lock: Lock = field(default_factory=Lock)
    _in_flight: Future[Result] | None = None

    def result(self, timeout_s: float) -> Result:
        """Raises what `call` raises, or UnavailableError after `timeout_s` seconds."""
        with self._lock:
            if self._in_flight is None or self._in_flight.done():
                self._in_flight = Future()
                Thread(target=self._complete, args=[self._in_flight], daemon=True).start()
            in_flight = self._in_flight
        try:
            return in_flight.result(timeout_s)
        except TimeoutError:
            raise UnavailableError(f"no answer within {timeout_s:g} s") from None

    def _complete(self, future: Future[Result]) -> None:
        try:
            future.set_result(self.call())
        except Exception as error:  # each waiting caller gets it
            future.set_exception(error)
