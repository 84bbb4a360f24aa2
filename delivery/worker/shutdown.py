"""SIGTERM and SIGINT end the worker after the batch in hand."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

from delivery.errors import UnavailableError

# Seconds. A batch takes far less; what takes longer waits for a server that does not answer.
GRACE = 8


@dataclass(slots=True)
class Stop:
    """Whether somebody asked the worker to stop."""

    requested: bool = False


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """A `Stop` that SIGTERM and SIGINT set. The former handlers are restored at the end.

    Raises UnavailableError inside the block when it has not ended `GRACE` seconds after the
    signal. The database then rolls the batch back, and Kafka keeps its records.
    """
    stop = Stop()

    def request(_number: int, _frame: FrameType | None) -> None:
        stop.requested = True
        signal.alarm(GRACE)

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
        f"stopped without an answer from a server for {GRACE} s: the batch in hand is rolled back, "
        "and Kafka keeps its records"
    )
