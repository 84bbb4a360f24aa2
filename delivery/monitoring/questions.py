"""Questions to a server that may never answer, for those who want to know within a moment."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock, Thread
from typing import Generic, TypeVar

from delivery.errors import UnavailableError

Answer = TypeVar("Answer")


@dataclass
class Question(Generic[Answer]):
    """A question that is under way once at most: whoever asks meanwhile shares the answer.

    It is put in a thread of its own, which ends with the process. `put` may take its time.
    """

    put: Callable[[], Answer]
    _lock: Lock = field(default_factory=Lock)
    _under_way: Future[Answer] | None = None

    def answer(self, within: float) -> Answer:
        """Raises what `put` raises, or UnavailableError after `within` seconds."""
        with self._lock:
            if self._under_way is None or self._under_way.done():
                self._under_way = Future()
                Thread(target=self._fill, args=[self._under_way], daemon=True).start()
            under_way = self._under_way
        try:
            return under_way.result(within)
        except TimeoutError:
            raise UnavailableError(f"no answer within {within:g} s") from None

    def _fill(self, future: Future[Answer]) -> None:
        try:
            future.set_result(self.put())
        except Exception as error:  # it is whose asks who has to see it
            future.set_exception(error)
