"""Ctrl-C while the command is being imported ends it at once: nothing has begun.

There KeyboardInterrupt would be a traceback, or be lost: where C calls Python, as pydantic's core
does, it is printed and the process goes on.
"""

import os
import signal
from types import FrameType

INTERRUPTED = 130  # exit code, as a shell reports SIGINT


def end_at_once() -> None:
    """From now on. A SIGINT that is ignored stays so, as a shell's background job has it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def raise_again() -> None:
    """From now on it is a KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(_number: int, _frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)
