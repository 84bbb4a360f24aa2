"""A Kafka record as the rest of the code sees it."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple
from uuid import UUID

Partition = tuple[str, int]  # topic, partition
PartitionLog = tuple[str, int, UUID]  # a partition, in the topic of which id
Coordinates = tuple[str, int, int]  # topic, partition, offset
Header = tuple[str, bytes | None]

UNKNOWN_TOPIC_ID = UUID(int=0)  # as Kafka itself writes that there is none


def may_be_same_topic(one: UUID, other: UUID) -> bool:
    """Whether two records' topics of one name may be the same: an unknown id may be any's."""
    return one == other or UNKNOWN_TOPIC_ID in {one, other}


class Record(NamedTuple):
    """One record at its coordinates. `time` is the record's own timestamp in UTC.

    `topic_id` tells the topic from one that had its name before, `leader_epoch` a record from one
    that an unclean leader election put in its place; -1 where it is not known.

    A named tuple and not a dataclass because one is made for every record.
    """

    topic: str
    partition: int
    offset: int
    time: datetime | None
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]
    topic_id: UUID = UNKNOWN_TOPIC_ID
    leader_epoch: int = -1

    @property
    def coordinates(self) -> Coordinates:
        """Where the record lies in Kafka, by which a redelivery is recognised."""
        return self[:3]

    @property
    def topic_partition(self) -> Partition:
        """The partition that the record lies in."""
        return self[:2]

    def __str__(self) -> str:
        """The coordinates, as people write them. A record's contents are in no message."""
        return f"{self.topic}/{self.partition}/{self.offset}"


def record_time(milliseconds: int | None) -> datetime | None:
    """A record's timestamp, given in milliseconds since 1970; None if it has none or an absurd one.

    Exact until the year 2242. The calendar of Python ends in 9999, Kafka's 64 bits do not.
    """
    if milliseconds is None or milliseconds < 0:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def offset_ranges(records: Iterable[Record]) -> dict[Partition, tuple[int, int]]:
    """For each topic and partition its first and its last offset.

    The records of a partition must be in the order of their offsets.
    """
    ranges: dict[Partition, tuple[int, int]] = {}
    for partition, group in groupby(records, key=itemgetter(0, 1)):
        offsets = [record.offset for record in group]
        first, _ = ranges.get(partition, (offsets[0], None))
        ranges[partition] = first, offsets[-1]
    return ranges
