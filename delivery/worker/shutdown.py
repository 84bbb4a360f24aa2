"""SIGTERM and SIGINT end the worker after the batch in hand."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from delivery.errors import UnavailableError

# A batch takes far less; what takes longer waits for a server that does not answer.
GRACE_S = 8


@dataclass(slots=True)
class StopFlag:
    """Whether somebody asked the worker to stop."""

    requested: bool = False


# A COMMIT without an answer may be done all the same.
_OF_A_WORKER = (
    "Kafka keeps the records of the batch in hand; if it is committed, they are recognised"
)


@contextmanager
def stop_on_signals(left_behind: str = _OF_A_WORKER) -> Iterator[StopFlag]:
    """A `StopFlag` that SIGTERM and SIGINT set. The former handlers are restored at the end.

    Raises UnavailableError inside the block when it has not ended `GRACE_S` seconds after the
    signal. `left_behind` says what becomes of the work in hand.
    """
    stop = StopFlag()

    def request(_number: int, _frame: FrameType | None) -> None:
        stop.requested = True
        signal.alarm(GRACE_S)

    def give_up(_number: int, _frame: FrameType | None) -> None:
        raise UnavailableError(
            f"stopped without an answer from a server for {GRACE_S} s: {left_behind}"
        )

    handlers = {signal.SIGTERM: request, signal.SIGINT: request, signal.SIGALRM: give_up}
    former = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield stop
    finally:
        signal.alarm(0)
        for number, handler in former.items():
            signal.signal(number, handler)
