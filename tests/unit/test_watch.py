"""Looking beside the requests: again and again, and on after what failed."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from delivery.errors import UnavailableError
from delivery.web.background import Watch

SECONDS = 10.0  # a deadline


class Looks:
    """Looks that come out as they are told, one after another; the last one is for ever."""

    def __init__(self, *told: int | Exception) -> None:
        self.told = list(told)
        self.opened = 0
        self.last = threading.Event()

    @contextmanager
    def open(self) -> Iterator[Callable[[], int]]:
        self.opened += 1
        yield self.look

    def look(self) -> int:
        told = self.told[0]
        if len(self.told) > 1:
            self.told.pop(0)
        else:
            self.last.set()  # what came before it is seen by now
        if isinstance(told, Exception):
            raise told
        return told


@contextmanager
def watching(looks: Looks) -> Iterator[Watch[int]]:
    watch = Watch("test", looks.open, 0.001)
    watch.start()
    try:
        assert looks.last.wait(SECONDS)
        yield watch
    finally:
        watch.stop()


def test_before_the_first_look_nothing_is_seen_and_it_is_said() -> None:
    seen = Watch("test", Looks(1).open, 1.0).seen()
    assert (seen.value, seen.at) == (None, None)
    assert seen.why


def test_the_last_look_is_seen() -> None:
    looks = Looks(1, 2, 3, 3)
    with watching(looks) as watch:
        assert watch.seen().value == 3
        assert watch.seen().why is None
        assert looks.opened == 1


@pytest.mark.parametrize("error", [UnavailableError("it is away"), ZeroDivisionError()])
def test_after_a_failure_the_last_value_stays_and_it_is_said_why(error: Exception) -> None:
    with watching(Looks(1, error, error)) as watch:
        assert watch.seen().value == 1
        assert str(error) in str(watch.seen().why)


def test_after_a_failure_it_opens_anew_and_looks_on() -> None:
    looks = Looks(UnavailableError("it is away"), 7, 7)
    with watching(looks) as watch:
        assert watch.seen().value == 7
        assert watch.seen().why is None
        assert looks.opened == 2
