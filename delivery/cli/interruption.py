"""A Ctrl-C that waits until what is under way is done and counted."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


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
