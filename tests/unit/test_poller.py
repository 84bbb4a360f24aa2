"""Polling beside the requests: again and again, and on after a failure."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from delivery.errors import SettingsError, UnavailableError
from delivery.web import poller as module
from delivery.web.poller import Poller

SECONDS = 10.0  # a deadline


class Source:
    """Gives these values, one after another, or raises them; the last one for ever."""

    def __init__(self, *values: int | Exception) -> None:
        self.values = list(values)
        self.opened = 0
        self.last = threading.Event()

    @contextmanager
    def open(self) -> Iterator[Callable[[], int]]:
        self.opened += 1
        yield self.read

    def read(self) -> int:
        value = self.values[0]
        if len(self.values) > 1:
            self.values.pop(0)
        else:
            self.last.set()  # what came before it is known by now
        if isinstance(value, Exception):
            raise value
        return value


@contextmanager
def polling(source: Source) -> Iterator[Poller[int]]:
    poller = Poller("test", source.open, 0.001)
    poller.start()
    try:
        assert source.last.wait(SECONDS)
        yield poller
    finally:
        poller.stop()


def test_before_the_first_read_there_is_no_value_and_it_is_said() -> None:
    latest = Poller("test", Source(1).open, 1.0).latest()
    assert (latest.value, latest.at) == (None, None)
    assert latest.error


def test_the_latest_value_is_given() -> None:
    source = Source(1, 2, 3, 3)
    with polling(source) as poller:
        assert poller.latest().value == 3
        assert poller.latest().error is None
        assert source.opened == 1


@pytest.mark.parametrize("error", [UnavailableError("it is away"), ZeroDivisionError()])
def test_after_a_failure_the_last_value_stays_and_it_is_said_why(error: Exception) -> None:
    with polling(Source(1, error, error)) as poller:
        assert poller.latest().value == 1
        assert str(error) in str(poller.latest().error)


def test_after_a_failure_it_opens_anew_and_reads_on() -> None:
    source = Source(UnavailableError("it is away"), 7, 7)
    with polling(source) as poller:
        assert poller.latest().value == 7
        assert poller.latest().error is None
        assert source.opened == 2


def test_a_refused_login_is_tried_again_after_a_long_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REFUSED_INTERVAL_S", 0.3)
    source, begun = Source(SettingsError("refused"), 7, 7), time.monotonic()
    with polling(source) as poller:
        assert poller.latest().value == 7
    assert time.monotonic() - begun >= 0.3
