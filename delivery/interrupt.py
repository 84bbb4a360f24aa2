"""What Ctrl-C does before a command runs, and within a step of it that must not be broken off."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130  # exit code, as a shell reports SIGINT


def end_at_once() -> None:
    """While the command is being imported it ends the process at once: nothing has begun.

    There KeyboardInterrupt would be a traceback, or be lost: where C calls Python, as pydantic's
    core does, it is printed and the process goes on. A SIGINT that is ignored stays so, as a
    shell's background job has it.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def raise_again() -> None:
    """From now on it is a KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def deferred() -> Iterator[None]:
    """Raises KeyboardInterrupt after the block and not within: a COMMIT whose answer nobody waits
    for may have happened, and would be told as if it had not.
    """
    received: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: received.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if received:
        raise KeyboardInterrupt


def _end(_number: int, _frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)
