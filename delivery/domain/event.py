"""The bytes of a record become an `OrderCreated`, or a `Rejection` that says why not. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, NamedTuple

from delivery.domain import fast_path, schema
from delivery.domain.event_time import InvalidTimeError, parse_time
from delivery.domain.rejection import Rejection

__all__ = ["Contract", "OrderCreated", "Rejection", "decode"]


class OrderCreated(NamedTuple):
    """An event: the columns of a delivery, in their order, and the payload, the bytes as sent.

    A named tuple and not a dataclass because one is made for every record: it takes a third of
    the time.
    """

    order_id: int
    product_id: int | None
    quantity: int | None
    ordered_by: int | None
    supply_company_id: int | None
    consume_company_id: int | None
    request_message: str | None
    delivery_limited_at: datetime | None
    event_time: datetime
    payload: bytes

    @property
    def delivery_row(self) -> tuple[Any, ...]:
        """The values of `DELIVERY_COLUMNS`: the row that COPY writes into `deliveries`."""
        return self[:-1]


DELIVERY_COLUMNS = OrderCreated._fields[:-1]  # of a delivery, as far as events shape it


@dataclass(frozen=True, slots=True)
class Contract:
    """What decoding depends on beside the bytes: with the same contract it is deterministic."""

    zone: tzinfo = UTC
    max_future_skew: timedelta = timedelta(minutes=5)


def decode(
    contract: Contract, value: bytes | None, record_time: datetime | None
) -> OrderCreated | Rejection:
    """An `OrderCreated`, or a `Rejection` with its reason. Never raises.

    `event_time` is compared with the record's own timestamp and not with our clock: the same
    record has to be decided the same way a year later.
    """
    if value is None:
        return Rejection("tombstone", "the value is null: an order's deletion has no meaning here")
    envelope = fast_path.read(value)
    if envelope is None:
        fields = schema.read(value)
        if isinstance(fields, Rejection):
            return fields
        envelope = fast_path.envelope_of(fields)
    order = envelope.event
    order_id, limit = order.order_id, None
    field = "createdAt"
    try:
        event_time = parse_time(envelope.created_at, contract.zone)
        if order.delivery_limited_at is not None:
            field = "event.deliveryLimitedAt"
            limit = parse_time(order.delivery_limited_at, contract.zone)
    except InvalidTimeError as error:
        return Rejection("invalid_time", f"{field}: {error}", order_id)
    if record_time is not None and event_time - record_time > contract.max_future_skew:
        return _from_the_future(contract, event_time - record_time, order_id)
    return OrderCreated(
        order_id,
        order.product_id,
        order.quantity,
        order.ordered_by,
        order.supply_company_id,
        order.consume_company_id,
        order.request_message,
        limit,
        event_time,
        value,
    )


def _from_the_future(contract: Contract, ahead: timedelta, order_id: int) -> Rejection:
    return Rejection(
        "future_event_time",
        f"createdAt is {ahead} ahead of the record's timestamp, more than "
        f"DELIVERY_MAX_FUTURE_SKEW ({contract.max_future_skew}) allows: the likely cause is "
        f"a wrong DELIVERY_EVENT_TIMEZONE ({contract.zone}) or a wrong clock at the producer",
        order_id,
    )
