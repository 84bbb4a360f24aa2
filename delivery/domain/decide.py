"""What becomes of each event, from what the database knows and the order of arrival. Pure.

`decide` is the whole policy of the service: which event creates a delivery, which one changes it,
which is late, which is a duplicate. It reads nothing and writes nothing, so it is tested as a table
of cases and against a naive model that handles one event at a time.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from delivery.domain.event import Contract, OrderCreated, decode
from delivery.domain.imported import agrees, is_import
from delivery.domain.json_equality import same_json
from delivery.domain.record import Coordinates, Record, may_be_same_topic
from delivery.domain.vocabulary import EventOutcome

Key = tuple[int, datetime]  # order_id, event_time: what the inbox is unique by


class Delivery(NamedTuple):
    """What is known of an order's delivery."""

    event_time: datetime
    status: str


class Logged(NamedTuple):
    """What the inbox holds under a key: the record's coordinates, in the topic of which id, and its
    payload as it was sent; None if that was erased.
    """

    coordinates: Coordinates
    topic_id: UUID
    payload: bytes | None

    def differs_from(self, event: OrderCreated) -> bool:
        """Whether the event says something else. Of an erased payload nobody knows, and the answer
        must not bring the data back: a payload that differs is kept.
        """
        if self.payload is None or same_json(event.payload, self.payload):
            return False
        return not (is_import(self.coordinates[0]) and _agrees(self.payload, event))

    def is_of(self, record: Record) -> bool:
        """Whether this is the row of that very record, which is redelivered then."""
        is_there = self.coordinates == record.coordinates
        return is_there and may_be_same_topic(self.topic_id, record.topic_id)


@dataclass(slots=True)
class State:
    """What the database knows of a batch's orders before the batch.

    `has_archive`: a key that is not in the inbox may have left it with an archived month.
    """

    deliveries: dict[int, Delivery] = field(default_factory=dict)
    inbox: dict[Key, Logged] = field(default_factory=dict)
    has_archive: bool = False


Arrival = tuple[Record, OrderCreated]
Entry = tuple[Record, OrderCreated, EventOutcome]  # a row for the inbox


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


def decide(state: State, arrivals: Iterable[Arrival]) -> Decision:
    """Rows and outcomes for `arrivals`, in their order, on top of `state`.

    Splitting the arrivals into batches anywhere gives the same rows and outcomes.
    """
    decision = Decision()
    arrived: dict[Key, Arrival] = {}  # the keys this batch adds to the inbox
    applied: dict[int, OrderCreated] = {}  # the orders whose delivery this batch made or changed
    for arrival in arrivals:
        record, event = arrival
        order_id = event.order_id
        key = (order_id, event.event_time)
        if key in arrived or key in state.inbox:
            _recognise(decision, arrival, arrived.get(key), state.inbox.get(key))
            continue
        arrived[key] = arrival
        outcome = _outcome(applied.get(order_id), state.deliveries.get(order_id), event)
        decision.entries.append((record, event, outcome))
        if outcome == "created" or outcome == "updated":
            applied[order_id] = event
            _apply(decision, state, event)
    return decision


def _outcome(
    applied: OrderCreated | None, read: Delivery | None, event: OrderCreated
) -> EventOutcome:
    if applied is not None:  # by this batch, and so pending
        return "updated" if event.event_time > applied.event_time else "stale"
    if read is None:
        return "created"
    if event.event_time <= read.event_time:
        return "stale"
    return "updated" if read.status == "pending" else "too_late"


def _apply(decision: Decision, state: State, event: OrderCreated) -> None:
    read = state.deliveries.get(event.order_id)
    if read is None:  # not written yet: the insert takes the newest fields
        decision.created[event.order_id] = event
    else:
        decision.changed[event.order_id] = Change(event, read.event_time)


def _recognise(
    decision: Decision, arrival: Arrival, arrived: Arrival | None, logged: Logged | None
) -> None:
    record, event = arrival
    if arrived is not None:
        logged = Logged(arrived[0].coordinates, arrived[0].topic_id, arrived[1].payload)
    differs = logged is None or logged.differs_from(event)
    if logged is None or differs or not logged.is_of(record):
        decision.duplicates.append(Duplicate(record, event, differs))


def _agrees(imported: bytes, event: OrderCreated) -> bool:
    given = decode(_ANY_ZONE, imported, None)  # an import's times are in UTC
    return isinstance(given, OrderCreated) and agrees(given, event)


_ANY_ZONE = Contract()
