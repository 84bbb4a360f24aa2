"""`deliveries` is a fold of the log: each order's events, in the order of the log, shape one. Pure.

Rows are streamed, so that memory does not grow with their number, nor with an order's events.
"""

from collections.abc import Generator, Iterable, Iterator
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from delivery.domain.event import Contract, OrderCreated
from delivery.domain.record import Coordinates
from delivery.verify import payload
from delivery.verify.finding import Finding

COLUMNS = OrderCreated._fields[:9]  # of a delivery, as far as events shape it

Delivery = tuple[Any, ...]  # a delivery's COLUMNS


class Entry(NamedTuple):
    """A row of the log."""

    order_id: int
    event_time: datetime
    outcome: str
    payload: bytes
    topic: str
    partition: int
    offset: int

    @property
    def place(self) -> Coordinates:
        """Where its record lies in Kafka."""
        return self[4:]


class Shape(NamedTuple):
    """The entry that shaped a delivery last, and its event; None if its payload is of no use."""

    entry: Entry
    event: OrderCreated | None


def against_log(
    contract: Contract, log: Iterable[Entry], deliveries: Iterable[Delivery]
) -> Iterator[Finding]:
    """The findings of all orders. `log` is ordered by order and within it as the log is;
    `deliveries` by order.
    """
    others = iter(deliveries)
    delivery = next(others, None)
    for order_id, entries in groupby(log, itemgetter(0)):
        while delivery is not None and delivery[0] < order_id:
            yield _extra(delivery, "the log has no event of this order")
            delivery = next(others, None)
        shape = yield from fold(contract, entries)
        if delivery is None or delivery[0] > order_id:
            yield from _missing(shape)
        else:
            yield from _compared(shape, delivery)
            delivery = next(others, None)
    while delivery is not None:
        yield _extra(delivery, "the log has no event of this order")
        delivery = next(others, None)


def fold(contract: Contract, entries: Iterable[Entry]) -> Generator[Finding, None, Shape | None]:
    """The findings in one order's entries. Returns what they say of its delivery.

    After an outcome that can't be right the fold goes on with what the log says, so that one wrong
    row is one finding and not one for each row behind it.
    """
    shape: Shape | None = None
    is_first = True
    for entry in entries:
        event = payload.read(contract, entry[0], entry[1], entry[3], entry[4:])
        if isinstance(event, Finding):
            yield event
        possible = _possible(is_first, shape, entry)
        if entry.outcome not in possible:
            yield _contradicted(entry, possible)
        if entry.outcome == "created" or entry.outcome == "updated":
            shape = Shape(entry, None if isinstance(event, Finding) else event)
        is_first = False
    return shape


def _possible(is_first: bool, shape: Shape | None, entry: Entry) -> tuple[str, ...]:
    """The outcomes that `entry` can have after those before it."""
    if is_first:
        return ("created",)
    if shape is None:  # what created the delivery is missing: that is a finding already
        return ("updated", "too_late", "stale")
    return ("updated", "too_late") if entry.event_time > shape.entry.event_time else ("stale",)


def _contradicted(entry: Entry, possible: tuple[str, ...]) -> Finding:
    told = f"the outcome is {entry.outcome}; after the log before it, it must be "
    return Finding(
        "contradicted_outcome",
        told + " or ".join(possible),
        entry.order_id,
        entry.event_time,
        entry.place,
    )


def _compared(shape: Shape | None, delivery: Delivery) -> Iterator[Finding]:
    if shape is None:
        yield _extra(delivery, "no event of this order is created or updated")
        return
    entry = shape.entry
    columns = _differing(shape, delivery)
    if columns:
        told = f"{', '.join(columns)} not as this event says, which shaped the delivery last"
        yield Finding("different_delivery", told, *entry[:2], entry.place, columns)


def _differing(shape: Shape, delivery: Delivery) -> tuple[str, ...]:
    entry, event = shape
    if event is None:  # only the key is known
        return ("event_time",) if delivery[-1] != entry.event_time else ()
    if event[:9] == delivery:
        return ()
    said = zip(COLUMNS, event[:9], delivery, strict=True)
    return tuple(name for name, of_event, found in said if of_event != found)


def _missing(shape: Shape | None) -> Iterator[Finding]:
    if shape is not None:
        entry = shape.entry
        told = f"this event is {entry.outcome}, and there is no delivery"
        yield Finding("missing_delivery", told, entry.order_id, entry.event_time, entry.place)


def _extra(delivery: Delivery, told: str) -> Finding:
    return Finding("extra_delivery", told, delivery[0], delivery[-1])
