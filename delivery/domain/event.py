"""The bytes of a record become an `OrderCreated`, or a `Rejection` that says why not. Pure.

The wire format is the order service's own, Spring's and Jackson's: an envelope with the order
under `event` and the event's time under `createdAt`. `Envelope` is the contract; `delivery schema`
prints it as JSON Schema.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Annotated, Any, NamedTuple, NoReturn, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from pydantic_core import ErrorDetails
from typing_extensions import TypedDict  # pydantic asks for this one below Python 3.12

from delivery.domain.event_time import JacksonTime, parse_time
from delivery.domain.vocabulary import Reason

Int32 = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]
Int64 = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
OrderId = Annotated[int, Field(ge=1, le=2**63 - 1)]
Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]  # PostgreSQL's text holds no NUL


@with_config(ConfigDict(strict=True, title="OrderCreate"))
class _Order(TypedDict):
    orderId: OrderId
    productId: NotRequired[Int64 | None]
    quantity: NotRequired[Int32 | None]
    orderedBy: NotRequired[Int64 | None]
    supplyCompanyId: NotRequired[Int64 | None]
    consumeCompanyId: NotRequired[Int64 | None]
    requestMessage: NotRequired[Text | None]
    deliveryLimitedAt: NotRequired[JacksonTime | None]


@with_config(ConfigDict(strict=True, title="OrderCreateEvent"))
class Envelope(TypedDict):
    """The contract. Fields it does not name are allowed and kept in the payload."""

    event: _Order
    createdAt: JacksonTime


class _OnlyId(TypedDict):
    orderId: OrderId


@with_config(ConfigDict(strict=True))
class _OnlyOrder(TypedDict):
    event: _OnlyId


_FIELDS = set(Envelope.__annotations__) | set(_Order.__annotations__)
_TIMES = {"createdAt", "deliveryLimitedAt"}


class OrderCreated(NamedTuple):
    """An event: the columns of a delivery, in their order, and the payload, the bytes as sent.

    A named tuple and not a dataclass because one is made for every record: it takes a third of
    the time, and its first nine fields are the row that COPY writes into `deliveries`.
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


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a record can't become an event. `error` holds no value of the record, only names."""

    reason: Reason
    error: str
    order_id: int | None = None


@dataclass(frozen=True, slots=True)
class Contract:
    """What decoding depends on beside the bytes: with the same contract it is deterministic."""

    zone: tzinfo = UTC
    max_future_skew: timedelta = timedelta(minutes=5)


_CONTRACT = TypeAdapter(Envelope)
_validate = _CONTRACT.validator.validate_json
_validate_order_id = TypeAdapter(_OnlyOrder).validator.validate_json


def decode(
    contract: Contract, value: bytes | None, record_time: datetime | None
) -> OrderCreated | Rejection:
    """An `OrderCreated`, or a `Rejection` with its reason. Never raises.

    `event_time` is compared with the record's own timestamp and not with our clock: the same
    record has to be decided the same way a year later.
    """
    if value is None:
        return Rejection("tombstone", "the value is null: an order's deletion has no meaning here")
    try:
        envelope = _validate(value)
    except ValidationError as error:
        return _rejection(error, value)
    if (b"N" in value and b"NaN" in value) or b"Infinity" in value:
        try:  # the parser reads these words, but JSON does not have them
            json.loads(value, parse_constant=_refuse_constant)
        except ValueError as error:
            return Rejection("not_json", str(error))
    order = envelope["event"]
    order_id = order["orderId"]
    field = "createdAt"
    try:
        event_time = parse_time(envelope[field], contract.zone)
        limit = order.get("deliveryLimitedAt")
        if limit is not None:
            field = "event.deliveryLimitedAt"
            limit = parse_time(limit, contract.zone)
    except ValueError as error:
        return Rejection("invalid_time", f"{field}: {error}", order_id)
    if record_time is not None and event_time - record_time > contract.max_future_skew:
        return _from_the_future(contract, event_time - record_time, order_id)
    get = order.get
    return OrderCreated(
        order_id,
        get("productId"),
        get("quantity"),
        get("orderedBy"),
        get("supplyCompanyId"),
        get("consumeCompanyId"),
        get("requestMessage"),
        limit,
        event_time,
        value,
    )


def json_schema() -> dict[str, Any]:
    """The contract of a record's value as JSON Schema (draft 2020-12)."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_CONTRACT.json_schema()}


def _rejection(error: ValidationError, value: bytes) -> Rejection:
    errors = error.errors(include_url=False, include_input=False, include_context=False)
    first = errors[0]["type"]
    text = "; ".join(dict.fromkeys(map(_describe, errors[:5])))
    if first == "json_invalid":
        return Rejection("not_json", text)
    return Rejection(_reason(errors[0]), text, _readable_order_id(value))


def _reason(error: ErrorDetails) -> Reason:
    if error["type"] == "missing":
        return "missing_field"
    return "invalid_time" if _TIMES & set(error["loc"]) else "invalid_field"


def _describe(error: ErrorDetails) -> str:
    field = [part for part in error["loc"] if part in _FIELDS]
    where = ".".join(map(str, field)) or "the value"
    if error["type"] == "json_invalid":
        return error["msg"]
    if error["type"] == "string_pattern_mismatch":
        return f"{where}: holds a NUL character, which PostgreSQL's text can't store"
    if _TIMES & set(field) and error["type"] != "missing":
        return f"{where}: is neither ISO 8601 text nor Jackson's array of 5 to 7 integers"
    return f"{where}: {error['msg']}"


def _readable_order_id(value: bytes) -> int | None:
    """The order's id from a record that breaks the contract elsewhere, so it can be searched."""
    try:
        order_id: int = _validate_order_id(value)["event"]["orderId"]
    except ValidationError:
        return None
    return order_id


def _from_the_future(contract: Contract, ahead: timedelta, order_id: int) -> Rejection:
    return Rejection(
        "future_event_time",
        f"createdAt is {ahead} ahead of the record's timestamp, more than "
        f"DELIVERY_MAX_FUTURE_SKEW ({contract.max_future_skew}) allows: the likely cause is "
        f"a wrong DELIVERY_EVENT_TIMEZONE ({contract.zone}) or a wrong clock at the producer",
        order_id,
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"Invalid JSON: {name} is not a JSON value")
