"""README's table of outcomes, one event at a time: slow, and too simple to be wrong."""

import json

from memory import Entry, Row, Tables, key

from delivery.domain.event import OrderCreated
from delivery.domain.record import Record


def receive(tables: Tables, record: Record, event: OrderCreated) -> str:
    """Writes what becomes of one event to the tables, and returns the outcome."""
    logged = tables.log.get(key(event))
    if logged is not None:
        differs = json.loads(event.payload) != json.loads(logged.event.payload)
        if logged.coordinates == record.coordinates and not differs:
            return "redelivery"
        tables.duplicates.setdefault(record.coordinates, (key(event), differs))
        return "conflict" if differs else "duplicate"
    outcome = _outcome(tables.deliveries.get(event.order_id), event)
    tables.log[key(event)] = Entry(record.coordinates, event, outcome)
    if outcome in {"created", "updated"}:
        tables.deliveries[event.order_id] = Row(event, "pending")
    return outcome


def fold(tables: Tables) -> dict[int, OrderCreated]:
    """The deliveries that the log says there are."""
    entries = [e for e in tables.log.values() if e.outcome in {"created", "updated"}]
    return {entry.event.order_id: entry.event for entry in entries}


def _outcome(delivery: Row | None, event: OrderCreated) -> str:
    if delivery is None:
        return "created"
    if event.event_time <= delivery.event.event_time:
        return "stale"
    return "updated" if delivery.status == "pending" else "too_late"
