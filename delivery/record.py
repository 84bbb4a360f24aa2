"""A Kafka record as the rest of the code sees it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

Place = tuple[str, int, int]  # topic, partition, offset
Header = tuple[str, bytes | None]


class Record(NamedTuple):
    """One record at its coordinates. `time` is the record's own timestamp in UTC.

    A named tuple and not a dataclass because one is made for every record.
    """

    topic: str
    partition: int
    offset: int
    time: datetime | None
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]

    @property
    def place(self) -> Place:
        """Where the record lies in Kafka, by which a redelivery is recognised."""
        return self[:3]


def record_time(milliseconds: int) -> datetime | None:
    """A record's timestamp, given in milliseconds since 1970; None if it has none or an absurd one.

    The calendar of Python ends in the year 9999, Kafka's 64 bits do not.
    """
    if milliseconds < 0:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None
