"""Each record is accounted for exactly once, at its place in Kafka. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from delivery.verify.finding import Finding

Partition = tuple[str, int]  # topic, partition


class Occupied(NamedTuple):
    """A place that the logs name.

    `rows` is how often they do, replayed dead letters left out; `first_log` and `last_log` are the
    logs, `first_order` and `last_order` the orders of these rows, or None. `previous` is the
    offset of the place before it in its partition, and `is_last` says that none is behind it.
    """

    topic: str
    partition: int
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


def account(
    occupied: Iterable[Occupied], committed: Mapping[Partition, int]
) -> Iterator[Finding | Gap]:
    """Places that are named twice or nowhere, and the gaps below the committed offsets.

    `occupied` is ordered by place. Those may be left out that are named once and stand right
    behind another one, unless they are the last of their partition.
    """
    unseen = dict(committed)
    for place in occupied:
        yield from _named_wrongly(place)
        partition = place[:2]
        if partition in committed:
            unseen.pop(partition, None)
            yield from _gaps(place, committed[partition])
    for (topic, number), end in unseen.items():
        if end > 0:
            yield Gap(topic, number, 0, end)


def unaccounted(topic: str, partition: int, offset: int) -> Finding:
    """The finding for a record that is there, below the committed offset, and in no log."""
    told = "the record is in the topic, below the group's committed offset, and in no log"
    return Finding("unaccounted_record", told, place=(topic, partition, offset))


def _named_wrongly(place: Occupied) -> Iterator[Finding]:
    where = place[:3]
    if place.rows > 1:
        yield Finding("coordinates_twice", _rows_of(place), place.first_order, place=where)
    elif place.rows == 0:
        told = "a dead letter says that it was replayed, and no other log has its record"
        yield Finding("replayed_nowhere", told, place=where)


def _rows_of(place: Occupied) -> str:
    logs = " and ".join(dict.fromkeys((str(place.first_log), str(place.last_log))))
    told = f"{place.rows} rows in {logs}"
    if place.first_order != place.last_order:
        told += f", of orders {place.first_order} and {place.last_order}"
    return told


def _gaps(place: Occupied, committed: int) -> Iterator[Gap]:
    topic, partition, offset = place[:3]
    start = 0 if place.previous is None else place.previous + 1
    if start < (end := min(offset, committed)):
        yield Gap(topic, partition, start, end)
    if place.is_last and offset + 1 < committed:
        yield Gap(topic, partition, offset + 1, committed)
