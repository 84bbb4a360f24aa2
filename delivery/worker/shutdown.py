"""SIGTERM and SIGINT end the worker after the batch in hand."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

from delivery.errors import UnavailableError

# A batch takes far less; what takes longer waits for a server that does not answer.
GRACE_S = 8


@dataclass(slots=True)
class StopFlag:
    """Whether somebody asked the worker to stop."""

    requested: bool = False


@contextmanager
def stop_on_signals() -> Iterator[StopFlag]:
    """A `StopFlag` that SIGTERM and SIGINT set. The former handlers are restored at the end.

    Raises UnavailableError inside the block when it has not ended `GRACE_S` seconds after the
    signal. The database then rolls the batch back, and Kafka keeps its records.
    """
    stop = StopFlag()

    def request(_number: int, _frame: FrameType | None) -> None:
        stop.requested = True
        signal.alarm(GRACE_S)

    handlers = {signal.SIGTERM: request, signal.SIGINT: request, signal.SIGALRM: _give_up}
    former = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield stop
    finally:
        signal.alarm(0)
        for number, handler in former.items():
            signal.signal(number, handler)


def _give_up(_number: int, _frame: FrameType | None) -> NoReturn:
    raise UnavailableError(
        f"stopped without an answer from a server for {GRACE_S} s: the batch in hand is rolled "
        "back, and Kafka keeps its records"
    )
