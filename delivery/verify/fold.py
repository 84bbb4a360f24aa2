"""`deliveries` is a fold of the log: each order's events, in the order of the log, shape one. Pure.

Rows are streamed, so that memory does not grow with their number, nor with an order's events.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from delivery.domain.event import DELIVERY_COLUMNS, Contract, OrderCreated
from delivery.postgres.columns import PERSONAL
from delivery.verify import payload
from delivery.verify.archive import Archive
from delivery.verify.finding import Finding, Kind
from delivery.verify.rows import NO_DELIVERY, Entry

NOTHING = Archive()


class Shape(NamedTuple):
    """The entry that shaped a delivery last, and its event; None if its payload is of no use, or
    erased.
    """

    entry: Entry
    event: OrderCreated | None


def against_log(
    contract: Contract, log: Iterable[Entry], archive: Archive = NOTHING
) -> Iterator[Finding]:
    """The findings of all orders. `log` is ordered by order, and within it as the log is.

    What came before an order's first entry may be in the `archive`.
    After an outcome that can't be right the fold goes on with what the log says, so that one wrong
    row is one finding and not one for each row behind it.
    """
    before: Entry | None = None  # the entry before, of the same order
    shape: Shape | None = None
    for entry in log:
        if before is not None and before.order_id != entry.order_id:
            if (finding := _of_delivery(shape, before, archive)) is not None:
                yield finding
            before = shape = None
        event: OrderCreated | None = None
        if isinstance(read := payload.read(contract, entry), Finding):
            yield read
        else:
            event = read
        if entry.outcome not in (possible := _possible(before, shape, entry, archive)):
            yield _contradicted(entry, possible)
        if entry.outcome == "created" or entry.outcome == "updated":
            shape = Shape(entry, event)
        before = entry
    if before is not None and (finding := _of_delivery(shape, before, archive)) is not None:
        yield finding


def extra_delivery(order_id: int, event_time: datetime, detail: str) -> Finding:
    """The finding for a delivery that nothing shaped."""
    return Finding("extra_delivery", detail, order_id, event_time)


def _possible(
    before: Entry | None, shape: Shape | None, entry: Entry, archive: Archive
) -> tuple[str, ...]:
    """The outcomes that `entry` can have after those before it."""
    if before is None:
        return ("created", *archive.first_outcomes(entry.event_time))
    if shape is None:  # what created the delivery is archived, or that it is missing was found
        return ("updated", "too_late", "stale")
    return ("updated", "too_late") if entry.event_time > shape.entry.event_time else ("stale",)


def _contradicted(entry: Entry, possible: tuple[str, ...]) -> Finding:
    detail = f"the outcome is {entry.outcome}; after the log before it, it must be "
    return _finding("contradicted_outcome", entry, detail + " or ".join(possible))


def _of_delivery(shape: Shape | None, last: Entry, archive: Archive) -> Finding | None:
    """What is wrong with the delivery of an order whose last entry is `last`."""
    if shape is None:
        if last.delivery == NO_DELIVERY or archive.holds(_columns(last)["event_time"]):
            return None
        detail = "no event of this order is created or updated"
        return extra_delivery(last.order_id, _columns(last)["event_time"], detail)
    entry, event = shape
    if event is not None and event.delivery_row == entry.delivery:
        return None
    if entry.delivery == NO_DELIVERY:
        detail = f"this event is {entry.outcome}, and there is no delivery"
        return _finding("missing_delivery", entry, detail)
    columns = _differing(entry, event)
    detail = f"{', '.join(columns)} not as this event says, which shaped the delivery last"
    return _finding("different_delivery", entry, detail, columns) if columns else None


def _differing(entry: Entry, event: OrderCreated | None) -> tuple[str, ...]:
    found = _columns(entry)
    if event is None:  # only the key is known
        columns = () if found["event_time"] == entry.event_time else ("event_time",)
        return columns + (_left_of(found) if entry.payload is None else ())
    return tuple(name for name in found if found[name] != getattr(event, name))


def _left_of(delivery: dict[str, Any]) -> tuple[str, ...]:
    """The columns that the erasure of its event should have emptied."""
    return tuple(name for name in PERSONAL if delivery[name] is not None)


def _columns(entry: Entry) -> dict[str, Any]:
    return dict(zip(DELIVERY_COLUMNS, entry.delivery, strict=True))


def _finding(kind: Kind, entry: Entry, detail: str, columns: tuple[str, ...] = ()) -> Finding:
    return Finding(kind, detail, entry.order_id, entry.event_time, entry.coordinates, columns)
