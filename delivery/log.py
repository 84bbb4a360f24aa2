"""Logs, on stderr: for people on a terminal, JSON lines otherwise. They hold no personal data."""

import logging
import sys

import structlog


def configure(level: str) -> None:
    """Logs of `level` and above. kafka-python's own are shown only at debug."""
    to_people = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer() if to_people else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    # What kafka-python says of its connections we say ourselves, in one line, where it matters.
    logging.getLogger("kafka").setLevel(logging.DEBUG if level == "DEBUG" else logging.CRITICAL)
    if level == "DEBUG":
        logging.basicConfig(stream=sys.stderr, level=logging.INFO)
