"""Logs, on stderr: for people on a terminal, JSON lines otherwise. They hold no personal data."""

import logging
import sys
import time
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from threading import Lock
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from delivery.domain.record import Record, offset_ranges
from delivery.invisible import escaped

REPEAT_INTERVAL_S = 1.0  # between two lines that say the same

# What differs always, and so makes no line another one; the latter two are structlog's own.
_DIFFERS_ALWAYS = {"timestamp", "milliseconds", "request_id", "_record", "_from_structlog"}
_MOST_KEYS = 1000  # of lines that are remembered


def configure(level: str, *, limits_repeats: bool = False) -> None:
    """Logs of `level` and above. What libraries say has the same form: their warnings, or at debug
    also what they do. An exception is named by its kind and place, on the line itself.

    With `limits_repeats`, lines that say the same come once a second, for whoever can cause many of
    them: `repeated` tells how many were left out since the last one.
    """
    shared = _shared()
    if limits_repeats:
        shared.append(RepeatLimit())
    render = _renderer()
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    _take_over_libraries(shared, render)
    logging.getLogger().setLevel(logging.INFO if level == "DEBUG" else logging.WARNING)
    # What kafka-python says of its connections we say ourselves, in one line, where it matters. At
    # its own debug level it logs whole requests and responses: passwords and records.
    logging.getLogger("kafka").setLevel(logging.INFO if level == "DEBUG" else logging.CRITICAL)


def warn_early(message: str) -> None:
    """A line as the others, before the settings are read that `configure` needs."""
    logger = structlog.wrap_logger(
        structlog.WriteLogger(sys.stderr), processors=[*_shared(), _renderer()]
    )
    logger.warning(message)


def _shared() -> list[Processor]:
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _name_exception,
    ]
    return [*shared, _escape_invisible] if sys.stderr.isatty() else shared


def _renderer() -> Processor:
    if sys.stderr.isatty():
        return structlog.dev.ConsoleRenderer()
    return structlog.processors.JSONRenderer()


class RepeatLimit:
    """A processor that drops a line which says the same as one of the last second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._last: dict[Hashable, tuple[float, int]] = {}  # when it was written, dropped since

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        key = tuple((k, repr(v)) for k, v in event.items() if k not in _DIFFERS_ALWAYS)
        now = self._clock()
        with self._lock:
            written, dropped = self._last.get(key, (-REPEAT_INTERVAL_S, 0))
            if now - written < REPEAT_INTERVAL_S:
                self._last[key] = written, dropped + 1
                raise structlog.DropEvent
            self._last[key] = now, 0
            self._forget(now)
        return {**event, "repeated": dropped} if dropped else event

    def _forget(self, now: float) -> None:
        """Bounds the memory: what was not repeated lately is forgotten."""
        if len(self._last) > _MOST_KEYS:
            self._last = {k: v for k, v in self._last.items() if now - v[0] < REPEAT_INTERVAL_S}


def raised_at(error: BaseException) -> str:
    """File and line that raised the error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""


def offset_ranges_text(records: Sequence[Record]) -> list[str]:
    """Where the records lie, for a log's line: topic/partition/first offset-last offset."""
    return [
        f"{topic}/{partition}/{first}-{last}"
        for (topic, partition), (first, last) in offset_ranges(records).items()
    ]


def _name_exception(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A traceback would stand between the lines of JSON, and may repeat what was asked for."""
    found: Any = event.pop("exc_info", None)
    error = sys.exc_info()[1] if found is True else found[1] if isinstance(found, tuple) else found
    if isinstance(error, BaseException):
        event.update(exception=type(error).__name__, where=raised_at(error))
    return event


def _escape_invisible(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A text from elsewhere, such as a trigger's message, gives no orders to the terminal."""
    return {k: escaped(v) if isinstance(v, str) else v for k, v in event.items()}


class _Handler(logging.StreamHandler[TextIO]):
    """Writes what libraries log, but for lines that a processor drops."""

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(structlog.DropEvent):
            super().emit(record)


def _take_over_libraries(shared: list[Processor], render: Processor) -> None:
    handler = _Handler(sys.stderr)
    processors = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, render]
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processors=processors, foreign_pre_chain=shared)
    )
    logging.basicConfig(handlers=[handler])
