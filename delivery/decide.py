"""What becomes of each event, from what the database knows and the order of arrival. Pure.

`decide` is the whole policy of the service: which event creates a delivery, which one changes it,
which is late, which is a duplicate. It reads nothing and writes nothing, so it is tested as a table
of cases and against a naive model that handles one event at a time.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple, get_args

from delivery.event import OrderCreated
from delivery.json_equality import same_json
from delivery.record import Place, Record

Outcome = Literal["created", "updated", "too_late", "stale"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

Key = tuple[int, datetime]  # order_id, event_time: what the inbox is unique by


class Delivery(NamedTuple):
    """What is known of an order's delivery."""

    event_time: datetime
    status: str


class Logged(NamedTuple):
    """What the inbox holds under a key: the place of the record, and its payload as it was sent."""

    place: Place
    payload: str


@dataclass(slots=True)
class State:
    """What the database knows of a batch's orders before the batch."""

    deliveries: dict[int, Delivery] = field(default_factory=dict)
    inbox: dict[Key, Logged] = field(default_factory=dict)


class Entry(NamedTuple):
    """A row for the inbox."""

    record: Record
    event: OrderCreated
    outcome: Outcome


class Duplicate(NamedTuple):
    """A record whose key the inbox holds from another record; a conflict if the payload differs."""

    record: Record
    event: OrderCreated
    payload_differs: bool


class Change(NamedTuple):
    """A delivery that takes over the fields of `event`, if it still is as it was read."""

    event: OrderCreated
    read_event_time: datetime


@dataclass(slots=True)
class Decision:
    """The rows to write. A redelivered record has none: the inbox holds it already."""

    entries: list[Entry] = field(default_factory=list)
    duplicates: list[Duplicate] = field(default_factory=list)
    created: dict[int, OrderCreated] = field(default_factory=dict)
    changed: dict[int, Change] = field(default_factory=dict)
    redelivered: int = 0


def decide(state: State, arrivals: Iterable[tuple[Record, OrderCreated]]) -> Decision:
    """Rows and outcomes for `arrivals`, in their order, on top of `state`.

    Splitting the arrivals into batches anywhere gives the same rows and outcomes.
    """
    decision = Decision()
    known = dict(state.inbox)
    deliveries = dict(state.deliveries)
    for record, event in arrivals:
        key = (event.order_id, event.event_time)
        logged = known.get(key)
        if logged is not None:
            _recognise(decision, record, event, logged)
            continue
        known[key] = Logged(record.place, event.payload)
        outcome = _outcome(deliveries.get(event.order_id), event)
        decision.entries.append(Entry(record, event, outcome))
        if outcome == "created":
            deliveries[event.order_id] = Delivery(event.event_time, "pending")
            decision.created[event.order_id] = event
        elif outcome == "updated":
            deliveries[event.order_id] = Delivery(event.event_time, "pending")
            _update(decision, state, event)
    return decision


def _outcome(delivery: Delivery | None, event: OrderCreated) -> Outcome:
    if delivery is None:
        return "created"
    if event.event_time <= delivery.event_time:
        return "stale"
    return "updated" if delivery.status == "pending" else "too_late"


def _update(decision: Decision, state: State, event: OrderCreated) -> None:
    if event.order_id in decision.created:  # not written yet: the insert takes the newer fields
        decision.created[event.order_id] = event
    else:
        read = state.deliveries[event.order_id]
        decision.changed[event.order_id] = Change(event, read.event_time)


def _recognise(decision: Decision, record: Record, event: OrderCreated, logged: Logged) -> None:
    if record.place == logged.place:
        decision.redelivered += 1
    else:
        differs = not same_json(event.payload, logged.payload)
        decision.duplicates.append(Duplicate(record, event, differs))
