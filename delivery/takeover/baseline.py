"""A baseline's lines: an order that is known, the time of its last event, its delivery. Pure.

`{"order_id": 1001, "event_time": "2026-01-01T00:01:14.254", "status": "dispatched"}`; a delivery's
other columns may be there too, under their own names. A time is written as in an event.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, tzinfo
from typing import Annotated, NamedTuple

from msgspec import DecodeError, Meta, Struct
from msgspec.json import Decoder, Encoder

from delivery.domain.event import Contract, OrderCreated
from delivery.domain.event_time import InvalidTimeError, parse_time
from delivery.domain.fast_path import Int32, Int64, OrderId, Time
from delivery.domain.imported import SOURCE
from delivery.domain.vocabulary import Status

Text = Annotated[str, Meta(pattern="^[^\\x00]*$")]  # PostgreSQL's text holds no NUL


class _Line(Struct, forbid_unknown_fields=True, gc=False):
    order_id: OrderId
    event_time: Time
    product_id: Int64 | None = None
    quantity: Int32 | None = None
    ordered_by: Int64 | None = None
    supply_company_id: Int64 | None = None
    consume_company_id: Int64 | None = None
    request_message: Text | None = None
    delivery_limited_at: Time | None = None
    status: Status | None = None


class _Order(Struct, rename="camel", omit_defaults=True, gc=False):
    order_id: int
    product_id: int | None = None
    quantity: int | None = None
    ordered_by: int | None = None
    supply_company_id: int | None = None
    consume_company_id: int | None = None
    request_message: str | None = None
    delivery_limited_at: datetime | None = None


class _Envelope(Struct, rename="camel", gc=False):
    event: _Order
    created_at: datetime
    source: str = SOURCE


class Known(NamedTuple):
    """What the service before knew of an order, as an event, and how far its delivery is."""

    line: int
    event: OrderCreated
    status: Status

    @property
    def is_bare(self) -> bool:
        """Whether nothing is given but the order and the time."""
        return not any(value is not None for value in self.event.delivery_row[1:-1])


# A line's number, and what it says or what is wrong with it.
Line = tuple[int, Known | str]

_decode = Decoder(_Line).decode
_encode = Encoder().encode


def lines(texts: Iterable[bytes], zone: tzinfo) -> Iterator[Line]:
    """The lines of a file, numbered from 1; blank ones are left out."""
    for number, text in enumerate(texts, 1):
        if text.strip():
            yield number, _read(number, text, zone)


def _read(number: int, text: bytes, zone: tzinfo) -> Known | str:
    try:
        said = _decode(text)
        limit = said.delivery_limited_at
        return known(
            number,
            said.order_id,
            parse_time(said.event_time, zone),
            said.product_id,
            said.quantity,
            said.ordered_by,
            said.supply_company_id,
            said.consume_company_id,
            said.request_message,
            None if limit is None else parse_time(limit, zone),
            status=said.status or "pending",
        )
    except InvalidTimeError as error:
        return f"event_time or delivery_limited_at {error}"
    except (DecodeError, UnicodeDecodeError) as error:
        return str(error)


def known(
    number: int,
    order_id: int,
    event_time: datetime,
    *fields: object,
    status: Status = "pending",
) -> Known:
    """What is known of an order. `fields` are a delivery's between `order_id` and `event_time`.

    The payload is that of an event which says no more than is given, with times in UTC.
    """
    given = [*fields, *[None] * (7 - len(fields))]
    payload = _encode(_Envelope(_Order(order_id, *given), event_time))  # type: ignore[arg-type]
    row = (order_id, *given, event_time, payload)
    return Known(number, OrderCreated._make(row), status)


def none_ahead(found: Iterable[Line], contract: Contract, now: datetime) -> Iterator[Line]:
    """The lines, but none whose event is ahead of `now`, further than the contract allows.

    Read in the wrong time zone it would make each later event of its order stale, and the log
    forgets nothing.
    """
    latest = now + contract.max_future_skew
    for number, line in found:
        if isinstance(line, str) or line.event.event_time <= latest:
            yield number, line
        else:
            yield number, _from_the_future(line.event, contract, now)


def _from_the_future(event: OrderCreated, contract: Contract, now: datetime) -> str:
    return (
        f"order {event.order_id}: event_time is {event.event_time - now} ahead of this machine's "
        f"clock, more than DELIVERY_MAX_FUTURE_SKEW ({contract.max_future_skew}) allows: the "
        f"likely cause is a wrong DELIVERY_EVENT_TIMEZONE ({contract.zone})"
    )
