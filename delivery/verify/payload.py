"""Whether a payload says the key that its row is under. Pure."""

from datetime import datetime
from typing import NamedTuple

from delivery.domain.event import Contract, OrderCreated, decode
from delivery.domain.record import Coordinates
from delivery.verify.finding import Finding


class Duplicate(NamedTuple):
    """A row of `duplicate_events`; `payload` is None where it is not kept."""

    order_id: int
    event_time: datetime
    payload: bytes | None
    has_event: bool  # whether the inbox holds its key
    topic: str
    partition: int
    offset: int


def read(
    contract: Contract, order_id: int, event_time: datetime, payload: bytes, place: Coordinates
) -> OrderCreated | Finding:
    """The event of a row, or a finding where it is not the event of the row's key.

    The record's timestamp is left out: whether an event was too far ahead of it was decided when
    the record was consumed, by the settings of then.
    """
    event = decode(contract, payload, None)
    if not isinstance(event, OrderCreated):
        return Finding(
            "undecodable_payload",
            f"{event.reason}: {event.error} ({_hint(contract)})",
            order_id,
            event_time,
            place,
        )
    if event.event_time == event_time and event.order_id == order_id:
        return event
    says = f"the payload says order {event.order_id} and {event.event_time.isoformat()}"
    if event.event_time != event_time:
        says += f" ({_hint(contract)})"
    return Finding("payload_of_another_key", says, order_id, event_time, place)


def duplicate(contract: Contract, row: Duplicate) -> Finding | None:
    """What is wrong with a row of `duplicate_events`, or None."""
    order_id, event_time, payload, has_event, *_ = row
    place = row[4:]
    if not has_event:
        told = "the log has no event of this order and time"
        return Finding("duplicate_of_no_event", told, order_id, event_time, place)
    if payload is None:
        return None
    event = read(contract, order_id, event_time, payload, place)
    return event if isinstance(event, Finding) else None


def _hint(contract: Contract) -> str:
    return f"was it consumed with another DELIVERY_EVENT_TIMEZONE than {contract.zone}?"
