"""Three tables in memory that refuse what the database would refuse: decisions are applied here."""

from dataclasses import dataclass, field
from typing import NamedTuple

from delivery.domain.decide import Decision, Delivery, Key, Logged, State
from delivery.domain.event import OrderCreated
from delivery.domain.record import UNKNOWN_TOPIC_ID, Coordinates


class Row(NamedTuple):
    """A delivery: the event that last orders it, and its status."""

    event: OrderCreated
    status: str


class Entry(NamedTuple):
    """A row of the inbox."""

    coordinates: Coordinates
    event: OrderCreated
    outcome: str

    def as_logged(self) -> Logged:
        return Logged(self.coordinates, UNKNOWN_TOPIC_ID, self.event.payload)


@dataclass
class Tables:
    """The log in the order of its rows, the deliveries, and the duplicates by their coordinates."""

    log: dict[Key, Entry] = field(default_factory=dict)
    deliveries: dict[int, Row] = field(default_factory=dict)
    duplicates: dict[Coordinates, tuple[Key, bool]] = field(default_factory=dict)

    def read(self, events: list[OrderCreated]) -> State:
        """What `Statements.read` returns: orders that have a delivery, and the keys asked for."""
        asked = [event for event in events if event.order_id in self.deliveries]
        keys = [key(event) for event in asked if key(event) in self.log]
        orders = {event.order_id: self.deliveries[event.order_id] for event in asked}
        return State(
            {
                order_id: Delivery(row.event.event_time, row.status)
                for order_id, row in orders.items()
            },
            {
                k: Logged(self.log[k].coordinates, UNKNOWN_TOPIC_ID, self.log[k].event.payload)
                for k in keys
            },
        )

    def write(self, decision: Decision) -> None:
        """What `Statements.write` does. An assertion fails where a constraint would."""
        for record, event, outcome in decision.entries:
            assert key(event) not in self.log, "the key of processed_events"
            self.log[key(event)] = Entry(record.coordinates, event, outcome)
        for order_id, event in decision.created.items():
            assert order_id not in self.deliveries, "the key of deliveries"
            self.deliveries[order_id] = Row(event, "pending")
        for order_id, (event, read_event_time) in decision.changed.items():
            row = self.deliveries[order_id]
            assert (row.event.event_time, row.status) == (read_event_time, "pending")
            self.deliveries[order_id] = Row(event, "pending")
        for record, event, differs in decision.duplicates:
            self.duplicates.setdefault(record.coordinates, (key(event), differs))

    def move(self, order_id: int, status: str) -> None:
        """What a dispatcher does to a delivery, if there is one."""
        if order_id in self.deliveries:
            self.deliveries[order_id] = self.deliveries[order_id]._replace(status=status)


def key(event: OrderCreated) -> Key:
    """What the inbox is unique by."""
    return event.order_id, event.event_time
