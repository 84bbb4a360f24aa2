"""Logs, on stderr: for people on a terminal, JSON lines otherwise. They hold no personal data."""

import logging
import sys
from collections.abc import Sequence

import structlog

from delivery.domain.record import Record, offset_ranges
from delivery.invisible import escaped


def configure(level: str) -> None:
    """Logs of `level` and above. What libraries say has the same form: their warnings, or at debug
    also what they do.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    render: structlog.typing.Processor = structlog.processors.JSONRenderer()
    if sys.stderr.isatty():
        shared.append(_escape_invisible)
        render = structlog.dev.ConsoleRenderer()
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


def _escape_invisible(
    _logger: structlog.typing.WrappedLogger, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """A text from elsewhere, such as a trigger's message, gives no orders to the terminal."""
    return {k: escaped(v) if isinstance(v, str) else v for k, v in event.items()}


def _take_over_libraries(
    shared: list[structlog.typing.Processor], render: structlog.typing.Processor
) -> None:
    handler = logging.StreamHandler(sys.stderr)
    processors = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, render]
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processors=processors, foreign_pre_chain=shared)
    )
    logging.basicConfig(handlers=[handler])


def offset_ranges_text(records: Sequence[Record]) -> list[str]:
    """Where the records lie, for a log's line: topic/partition/first offset-last offset."""
    return [
        f"{topic}/{partition}/{first}-{last}"
        for (topic, partition), (first, last) in offset_ranges(records).items()
    ]
