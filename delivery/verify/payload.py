"""Whether a payload holds the key that its row is under. Pure."""

from delivery.domain.event import Contract, OrderCreated, Rejection, decode
from delivery.verify.finding import Finding, Kind
from delivery.verify.rows import Duplicate, Entry

Row = Entry | Duplicate


def read(contract: Contract, row: Row) -> OrderCreated | Finding | None:
    """The event of a row, or a finding where it is not the event of the row's key. None where there
    is no payload: it is not kept, or erased.

    The record's timestamp is left out: whether an event was too far ahead of it was decided when
    the record was consumed, by the settings of then.
    """
    if row.payload is None:
        return None
    event = decode(contract, row.payload, None)
    if isinstance(event, Rejection):
        detail = f"{event.reason}: {event.error} ({_hint(contract)})"
        return _finding("undecodable_payload", row, detail)
    if event.event_time == row.event_time and event.order_id == row.order_id:
        return event
    detail = f"the payload says order {event.order_id} and {event.event_time.isoformat()}"
    if event.event_time != row.event_time:
        detail += f" ({_hint(contract)})"
    return _finding("payload_of_another_key", row, detail)


def duplicate(contract: Contract, row: Duplicate) -> Finding | None:
    """What is wrong with a row of `duplicate_events`, or None."""
    if not row.has_event:
        detail = "the log has no event of this order and time"
        return _finding("duplicate_of_no_event", row, detail)
    event = read(contract, row)
    return event if isinstance(event, Finding) else None


def _finding(kind: Kind, row: Row, detail: str) -> Finding:
    return Finding(kind, detail, row.order_id, row.event_time, row.coordinates)


def _hint(contract: Contract) -> str:
    return f"was it consumed with another DELIVERY_EVENT_TIMEZONE than {contract.zone}?"
