"""JSON of another shape than the contract's, and where it comes from. Pure."""

import json
import re
from typing import Any

NO_JSON = object()

_NO_TYPING = "have the producer switch it off"

_EPOCHS = ((1e11, "seconds"), (1e14, "milliseconds"), (1e17, "microseconds"), (1e20, "nanoseconds"))
_EARLIEST_EPOCH = 1e8  # 1973, in seconds

_TIMES = (("createdAt",), ("event", "deliveryLimitedAt"))
_IDS = ("orderId", "productId", "quantity", "orderedBy", "supplyCompanyId", "consumeCompanyId")


def look(document: Any) -> str | None:
    """What the shape is, and what its producer can do about it; None where nothing fits."""
    match document:
        case str() if isinstance(parsed(document), dict):
            return "JSON that was serialized twice: have the producer serialize it once"
        case [str(), dict()]:
            return f"Jackson's default typing, a class beside the object: {_NO_TYPING}"
        case [dict(), *_]:
            return "an array of events: have the producer send one record for each"
        case {"schema": _, "payload": _}:
            return (
                "Kafka Connect's envelope of schema and payload: set `schemas.enable` of its "
                "JSON converter to false"
            )
        case {"specversion": _}:
            return "a CloudEvent: have the producer send its `data` alone"
        case {"op": _, "after": _}:
            return "a change event of Debezium: have the producer send the order's own event"
        case dict():
            return _wrapped(document) or _fields(document)
        case _:
            return None


def _wrapped(document: dict[str, Any]) -> str | None:
    """An envelope that is missing, or has something around it."""
    match document.get("event"):
        case str() as event if isinstance(parsed(event), dict):
            return "an order that was serialized twice, as text within the envelope"
        case [str(), dict()]:
            return f"Jackson's default typing, a class beside the order: {_NO_TYPING}"
        case None if "orderId" in document:
            return "an order without its envelope: it has to lie under `event`, beside `createdAt`"
        case None if len(document) == 1 and _is_envelope(*document.values()):
            return "an event within another object: have the producer send the inner one"
    if {"created_at", "order_id"} & _keys(document):
        return "field names in snake_case: have the producer write them in camelCase"
    return None


def _is_envelope(value: Any) -> bool:
    return isinstance(value, dict) and "event" in value


def _keys(document: dict[str, Any]) -> set[str]:
    event = document.get("event")
    return set(document) | (set(event) if isinstance(event, dict) else set())


def _fields(document: dict[str, Any]) -> str | None:
    """A field whose value is written in another way."""
    for path in _TIMES:
        if (found := _time(_at(document, path))) is not None:
            return f"a `{path[-1]}` written as {found}: have the producer write ISO 8601"
    for name in _IDS:
        if isinstance(given := _at(document, ("event", name)), str) and given.strip().isdecimal():
            return f"an `{name}` written as text: have the producer write a number"
    return None


def _at(document: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def _time(given: Any) -> str | None:
    match given:
        case bool():
            return None
        case int() | float():
            return _epoch(abs(given))
        case str() if re.fullmatch(r"\s*-?\d{9,20}(\.\d*)?\s*", given, re.ASCII):
            return _epoch(abs(float(given)))
        case str() if re.match(r"\d{4}-\d\d-\d\d \d\d:", given, re.ASCII):
            return "SQL does, with a space instead of the T"
        case str() if re.fullmatch(r"\d{4}-\d\d-\d\d", given, re.ASCII):
            return "a date without a time"
        case [int(), int(), int()]:
            return "a date without a time"
    return None


def _epoch(number: float) -> str | None:
    if number < _EARLIEST_EPOCH:
        return None
    unit = next((unit for limit, unit in _EPOCHS if number < limit), None)
    return unit and f"{unit} since 1970 (an epoch)"


def parsed(value: bytes | str) -> Any:
    """The JSON document, or `NO_JSON`."""
    try:
        return json.loads(value if isinstance(value, str) else value.decode())
    except (ValueError, RecursionError):
        return NO_JSON
