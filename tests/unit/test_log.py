"""Log lines that say the same, exceptions, and characters that give orders to a terminal."""

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from restored_logs import restored

from delivery import log

AT = {"timestamp": "2026-11-25T10:00:00Z"}


class Limited:
    """What a limit lets through, as its clock goes on."""

    def __init__(self) -> None:
        self.now = 100.0
        self.limit = log.RepeatLimit(lambda: self.now)
        self.lines: list[dict[str, Any]] = []

    def write(self, after: float, **line: Any) -> None:
        self.now += after
        try:
            self.lines.append(dict(self.limit(None, "", line)))
        except structlog.DropEvent:
            return


@pytest.fixture
def limited() -> Limited:
    return Limited()


def test_a_line_that_repeats_comes_once_a_second_and_says_how_often(limited: Limited) -> None:
    for _ in range(20):
        limited.write(0.25, event="no answer", status=503)
    assert [line.get("repeated") for line in limited.lines] == [None, 3, 3, 3, 3]


def test_what_differs_always_makes_no_other_line(limited: Limited) -> None:
    limited.write(0, event="answered", milliseconds=1.5, timestamp="1")
    limited.write(0.1, event="answered", milliseconds=2.5, timestamp="2")
    assert len(limited.lines) == 1


def test_another_line_is_written_at_once(limited: Limited) -> None:
    for status in (200, 404, 503):
        limited.write(0, event="answered", status=status)
    limited.write(0, event="answered", status=200, path="/")
    assert len(limited.lines) == 4


def test_a_line_that_comes_now_and_then_is_as_it_was(limited: Limited) -> None:
    for _ in range(5):
        limited.write(1, event="answered")
    assert limited.lines == [{"event": "answered"}] * 5


def test_its_memory_is_bounded(limited: Limited) -> None:
    for number in range(20_000):
        limited.write(0.01, event="refused a host name", host=number)
    assert len(limited.limit._last) <= 1001


@pytest.fixture
def configured() -> Iterator[None]:
    """With the logs as `serve` has them; as they were afterwards."""
    with restored():
        logging.getLogger().handlers.clear()
        log.configure("INFO", limits_repeats=True)
        yield


@pytest.mark.usefixtures("configured")
def test_what_a_library_says_is_one_line_without_a_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logging.getLogger().handlers[0].setStream(sys.stderr)  # type: ignore[attr-defined]
    for _ in range(50):
        try:
            json.loads("[")
        except ValueError:
            logging.getLogger("asyncio").exception("socket.accept() out of system resource")
    (line,) = capsys.readouterr().err.splitlines()
    assert '"exception": "JSONDecodeError"' in line
    assert "decoder.py:" in line
    assert "Traceback" not in line


def test_a_text_from_elsewhere_gives_no_orders_to_a_terminal() -> None:
    event = log._escape_invisible(None, "", {"event": "x", "error": "a\x1b[2Jb", "n": 1})
    assert event == {"event": "x", "error": "a\\x1b[2Jb", "n": 1}
