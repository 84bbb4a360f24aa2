"""Each record is accounted for exactly once, at its coordinates in Kafka. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple
from uuid import UUID

from delivery.domain.record import PartitionLog
from delivery.verify.finding import Finding


class Occupied(NamedTuple):
    """Coordinates that the logs name.

    `rows` is how often they do, replayed dead letters left out; `first_log` and `last_log` are the
    logs, `first_order` and `last_order` the orders of these rows, or None. `previous` is the
    offset named before it in its partition, and `is_last` says that none is named behind it.
    A topic that is deleted and made anew has other partitions: its id is another.
    """

    topic: str
    partition: int
    topic_id: UUID
    offset: int
    rows: int
    first_log: str | None
    last_log: str | None
    first_order: int | None
    last_order: int | None
    previous: int | None
    is_last: bool


class Gap(NamedTuple):
    """Offsets that no log names, from `start` to the one before `end`."""

    topic: str
    partition: int
    start: int
    end: int


class Before(NamedTuple):
    """So many offsets before a partition's first in the logs: the service before read them."""

    offsets: int


# The logs keep no leader epoch, and so can't tell which of the two Kafka still has.
_WHY_TWICE = (
    "after an unclean leader election Kafka has another record at the offset of a lost one, and "
    "both were processed: nothing to mend; without such an election other hands wrote a row"
)


def account(
    occupied: Iterable[Occupied],
    committed: Mapping[PartitionLog, int],
    starts: Mapping[PartitionLog, int],
    is_taken_over: bool = False,
) -> Iterator[Finding | Gap | Before]:
    """Coordinates that are named twice or nowhere, and the gaps below the committed offsets.

    A partition is looked at from its offset in `starts` on, or else from 0. `occupied` is ordered
    by offset within a partition. An offset may be left out that is named once and stands right
    behind another one, unless it is the last of its partition. Where another service was taken
    over, what lies before a partition's first offset is no gap.
    """
    unseen = dict(committed)
    for row in occupied:
        yield from _named_wrongly(row)
        partition = row.topic, row.partition, row.topic_id
        if partition in committed:
            unseen.pop(partition, None)
            gaps = _gaps(row, committed[partition], starts.get(partition, 0))
            is_first = is_taken_over and row.previous is None
            yield from (_before(gap, row.offset) if is_first else gap for gap in gaps)
    for partition, end in unseen.items():
        if (start := starts.get(partition, 0)) < end:
            yield Before(end - start) if is_taken_over else Gap(*partition[:2], start, end)


def unaccounted(topic: str, partition: int, offset: int) -> Finding:
    """The finding for a record that is there, below the committed offset, and in no log."""
    detail = (
        "the record is in the topic, below the group's committed offset, and in no log: "
        "`delivery rewind` has it read again"
    )
    return Finding("unaccounted_record", detail, coordinates=(topic, partition, offset))


def _named_wrongly(row: Occupied) -> Iterator[Finding]:
    where = row.topic, row.partition, row.offset
    if row.rows > 1:
        yield Finding("coordinates_twice", _rows_of(row), row.first_order, coordinates=where)
    elif row.rows == 0:
        detail = "a dead letter says that it was replayed, and no other log has its record"
        yield Finding("replayed_nowhere", detail, coordinates=where)


def _rows_of(row: Occupied) -> str:
    logs = " and ".join(dict.fromkeys((str(row.first_log), str(row.last_log))))
    detail = f"{row.rows} rows in {logs}"
    if row.first_order != row.last_order:
        detail += f", of orders {row.first_order} and {row.last_order}"
    return f"{detail}; {_WHY_TWICE}"


def _before(gap: Gap, first: int) -> Gap | Before:
    return Before(gap.end - gap.start) if gap.end <= first else gap


def _gaps(row: Occupied, committed: int, start: int) -> Iterator[Gap]:
    topic, partition, offset = row.topic, row.partition, row.offset
    begin = start if row.previous is None else row.previous + 1
    if begin < (end := min(offset, committed)):
        yield Gap(topic, partition, begin, end)
    if row.is_last and offset + 1 < committed:
        yield Gap(topic, partition, offset + 1, committed)
