"""The contract of a record's value, and what it says of a value that breaks it. Pure.

The wire format is the order service's own, Spring's and Jackson's: an envelope with the order
under `event` and the event's time under `createdAt`. `delivery schema` prints it as JSON Schema.
"""

import json
from typing import Annotated, Any, NoReturn, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from pydantic_core import ErrorDetails
from typing_extensions import TypedDict  # pydantic asks for this one below Python 3.12

from delivery.domain.event_time import JacksonTime
from delivery.domain.rejection import Rejection
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


FIELDS = set(Envelope.__annotations__) | set(_Order.__annotations__)
_TIMES = {"createdAt", "deliveryLimitedAt"}

_CONTRACT = TypeAdapter(Envelope)
_validate = _CONTRACT.validator.validate_json
_validate_order_id = TypeAdapter(_OnlyOrder).validator.validate_json


def read(value: bytes) -> Envelope | Rejection:
    """The fields of a record's value, or how it breaks the contract. Never raises."""
    try:
        envelope: Envelope = _validate(value)
    except ValidationError as error:
        return _rejection(error, value)
    if (b"N" in value and b"NaN" in value) or b"Infinity" in value:
        try:  # the parser reads these words, but JSON does not have them
            json.loads(value, parse_constant=_refuse_constant)
        except ValueError as error:
            return Rejection("not_json", str(error))
    return envelope


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
    field = [part for part in error["loc"] if part in FIELDS]
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


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"Invalid JSON: {name} is not a JSON value")
