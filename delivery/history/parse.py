"""Parses what people and links write about the log. Pure but for the clock.

Each function raises ValueError with a text that says how it is written.
"""

import re
from datetime import UTC, datetime, tzinfo

from delivery.domain.record import Coordinates
from delivery.history.filter import Position
from delivery.local_time import words

_COORDINATES = re.compile(r"((?:import:)?[a-zA-Z0-9._-]{1,249})/(\d{1,10})/(\d{1,19})", re.ASCII)
_LAST_PARTITION, _LAST_OFFSET = 2**31 - 1, 2**63 - 1


def time(text: str, zone: tzinfo = UTC) -> datetime:
    """A time in UTC, as `local_time.words` reads it; in `zone` where it names none."""
    return words.read(text, zone)


def coordinates(text: str) -> Coordinates:
    """A record's topic, partition and offset."""
    if parts := _COORDINATES.fullmatch(text):
        topic, partition, offset = parts[1], int(parts[2]), int(parts[3])
        if partition <= _LAST_PARTITION and offset <= _LAST_OFFSET:
            return topic, partition, offset
    raise ValueError(
        f"{text!r} is neither TOPIC/PARTITION/OFFSET such as OrderCreateEvent/0/1234 nor "
        "import:NAME/RUN/LINE"
    )


def position(text: str) -> Position:
    """Where a page of the log begins, as `str` of a `Position` wrote it."""
    consumed_at, _, record = text.partition("/")
    try:
        return Position(datetime.fromisoformat(consumed_at).astimezone(UTC), *coordinates(record))
    except (ValueError, OverflowError):
        raise ValueError("is not a link of these pages: begin without it") from None
