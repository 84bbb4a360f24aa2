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

    Exact until the year 2242. The calendar of Python ends in 9999, Kafka's 64 bits do not.
    """
    if milliseconds < 0:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def spans(records: Sequence[Record]) -> dict[tuple[str, int], tuple[int, int]]:
    """For each topic and partition its first and its last offset.

    The records of a partition must be in the order of their offsets.
    """
    last = {record[:2]: record.offset for record in records}
    first = {record[:2]: record.offset for record in reversed(records)}
    return {partition: (first[partition], last[partition]) for partition in first}
