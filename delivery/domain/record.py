"""A Kafka record as the rest of the code sees it."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

Partition = tuple[str, int]  # topic, partition
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


def spans(records: Iterable[Record]) -> dict[Partition, tuple[int, int]]:
    """For each topic and partition its first and its last offset.

    The records of a partition must be in the order of their offsets.
    """
    spans: dict[Partition, tuple[int, int]] = {}
    for partition, group in groupby(records, key=itemgetter(0, 1)):
        offsets = [record.offset for record in group]
        first, _ = spans.get(partition, (offsets[0], None))
        spans[partition] = first, offsets[-1]
    return spans
