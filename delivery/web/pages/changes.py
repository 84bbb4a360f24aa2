"""What each record of an order changed in its delivery, from the log alone. Pure."""

from collections.abc import Iterable, Iterator
from datetime import UTC, timedelta, timezone
from typing import Any, NamedTuple

from delivery.domain.event import DELIVERY_COLUMNS, Contract, OrderCreated, decode

# What an event gives a delivery beside its key and its time.
COLUMNS = tuple(name for name in DELIVERY_COLUMNS if name not in {"order_id", "event_time"})

SHAPING = frozenset({"created", "updated"})

# Why a record of another outcome changed nothing.
WHY_NOTHING = {
    "too_late": "Newer, but the delivery was no longer pending: nothing changed.",
    "stale": "Not newer than the event that shaped the delivery: nothing changed.",
    "duplicate": "Another record brought the same event before: nothing changed.",
    "conflict": "Another record brought an event of the same time before, with another payload: "
    "this one is kept beside it, and nothing changed.",
    "rejected": "It could not be processed: nothing changed.",
}

_UTC = Contract(UTC)
_ELSEWHERE = Contract(timezone(timedelta(hours=1)))


class Change(NamedTuple):
    """A column of the delivery that an event gave another value; None is no value."""

    column: str
    old: Any
    new: Any


class Step(NamedTuple):
    """A record of the order. `event` is None where it changes nothing or can't be read."""

    outcome: str
    event: OrderCreated | None


def read(payload: str) -> OrderCreated | None:
    """The event of a logged payload; None where the contract of today no longer takes it.

    A `delivery_limited_at` that was sent without an offset has none here either: which time it is
    depends on the DELIVERY_EVENT_TIMEZONE of the worker that read it.
    """
    content = payload.encode()
    event = decode(_UTC, content, None)
    if not isinstance(event, OrderCreated) or event.delivery_limited_at is None:
        return event if isinstance(event, OrderCreated) else None
    other = decode(_ELSEWHERE, content, None)
    if isinstance(other, OrderCreated) and other.delivery_limited_at == event.delivery_limited_at:
        return event
    return event._replace(delivery_limited_at=event.delivery_limited_at.replace(tzinfo=None))


def between(old: OrderCreated | None, new: OrderCreated) -> tuple[Change, ...]:
    """The columns in which the events differ, in their order; all that are given if `old` is None.

    The event's own time is left out: it differs always.
    """
    changes = (Change(name, getattr(old, name, None), getattr(new, name)) for name in COLUMNS)
    return tuple(change for change in changes if change.old != change.new)


def follow(
    shaped: OrderCreated | None, steps: Iterable[Step]
) -> Iterator[tuple[Change, ...] | None]:
    """For each record, in the order of the log, what it changed; None where nobody can tell.

    `shaped` is the event that shaped the delivery before the first of `steps`, where it is known.
    """
    for outcome, event in steps:
        if outcome not in SHAPING:
            yield ()
            continue
        if event is None or (outcome == "updated" and shaped is None):
            yield None
        else:
            yield between(None if outcome == "created" else shaped, event)
        shaped = event
