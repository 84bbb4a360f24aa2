"""The JSON Schema that `delivery schema` prints says what decode does, as far as it can.

It can't say: that 1.0 is no integer, or that a text or an array is no time of the calendar.
"""

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from strategies import Sent, events
from wire import ABSENT, envelope, order

from delivery.domain.event import Contract, OrderCreated, Rejection, decode
from delivery.domain.schema import json_schema

SCHEMA = json_schema()
TYPES = {"object": dict, "array": list, "string": str, "integer": int, "null": type(None)}
ANNOTATIONS = {"$schema", "$defs", "title", "description", "examples"}


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """Whether `value` is valid: as much of draft 2020-12 as our schema needs."""
    return all(
        _keyword(value, name, rule) for name, rule in schema.items() if name not in ANNOTATIONS
    )


def _keyword(value: Any, name: str, rule: Any) -> bool:
    match name, value:
        case "$ref", _:
            return fits(value, SCHEMA["$defs"][rule.removeprefix("#/$defs/")])
        case "anyOf", _:
            return any(fits(value, schema) for schema in rule)
        case "type", _:
            return type(value) is TYPES[rule]
        case "required", dict():
            return value.keys() >= set(rule)
        case "properties", dict():
            return all(fits(value[field], rule[field]) for field in value.keys() & rule.keys())
        case "minimum", int():
            return bool(value >= rule)
        case "maximum", int():
            return bool(value <= rule)
        case "pattern", str():  # in JSON Schema, $ is the very end
            return bool(re.search(re.sub(r"\$$", r"\\Z", rule), value, re.ASCII))
        case "minItems", list():
            return bool(len(value) >= rule)
        case "maxItems", list():
            return bool(len(value) <= rule)
        case "items", list():
            return all(fits(item, rule) for item in value)
    assert name in {"required", "properties", "minimum", "maximum", "pattern", "minItems",
                    "maxItems", "items"}, f"this check does not know {name}"  # fmt: skip
    return True  # a rule for values of another type


CASES = [
    pytest.param(envelope(), id="as the order service sends it"),
    pytest.param(b'{"event":{"orderId":1},"createdAt":"2026-01-01T00:00"}', id="the least"),
    pytest.param(order(orderId=2**63 - 1), id="greatest orderId"),
    pytest.param(order(orderId=2**63), id="orderId of 64 bits"),
    pytest.param(order(orderId=0), id="orderId 0"),
    pytest.param(order(orderId="2"), id="orderId as text"),
    pytest.param(order(orderId=True), id="orderId as boolean"),
    pytest.param(order(orderId=None), id="orderId null"),
    pytest.param(order(orderId=ABSENT), id="no orderId"),
    pytest.param(order(quantity=2**31 - 1), id="greatest quantity"),
    pytest.param(order(quantity=2**31), id="quantity of 33 bits"),
    pytest.param(order(quantity=-(2**31) - 1), id="quantity of 33 bits, negative"),
    pytest.param(order(productId=-(2**63)), id="least productId"),
    pytest.param(order(productId=-(2**63) - 1), id="productId of 65 bits"),
    pytest.param(order(requestMessage=None, quantity=None), id="null fields"),
    pytest.param(order(requestMessage="a\nb"), id="line feed in the message"),
    pytest.param(order(requestMessage="a\0b"), id="NUL in the message"),
    pytest.param(order(requestMessage=["a"]), id="message as an array"),
    pytest.param(order(giftWrap=[1]), id="a field of their own"),
    pytest.param(envelope(event=ABSENT), id="no event"),
    pytest.param(envelope(event=None), id="event null"),
    pytest.param(envelope(createdAt=ABSENT), id="no createdAt"),
    pytest.param(envelope(createdAt=None), id="createdAt null"),
    pytest.param(envelope(createdAt=1767225674), id="createdAt as a number"),
    pytest.param(envelope(createdAt=[2026, 1, 1, 0]), id="array of 4"),
    pytest.param(envelope(createdAt=[2026, 1, 1, 0, 0]), id="array of 5"),
    pytest.param(envelope(createdAt=[2026, 1, 1, 0, 0, 0, 0, 0]), id="array of 8"),
    pytest.param(envelope(createdAt=[2026, 1, 1, 0, "0"]), id="array with text"),
    pytest.param(envelope(createdAt="2026-01-01t00:00:00,123456789z"), id="odd text"),
    pytest.param(envelope(createdAt="2026-01-01T00:00+09:00:30"), id="offset of seconds"),
    pytest.param(order(deliveryLimitedAt=None), id="no limit"),
    pytest.param(order(deliveryLimitedAt=[2026, 1]), id="limit of 2 numbers"),
    pytest.param(order(deliveryLimitedAt=False), id="limit false"),
    pytest.param(b"[]", id="an array"),
    pytest.param(b"null", id="null"),
]


@pytest.mark.parametrize("value", CASES)
def test_schema_and_decode_agree(value: bytes) -> None:
    decoded = decode(Contract(), value, None)
    assert fits(json.loads(value), SCHEMA) is isinstance(decoded, OrderCreated)


@given(events())
@settings(max_examples=150, deadline=None)
def test_what_decode_accepts_the_schema_accepts(sent: Sent) -> None:
    result = decode(Contract(), sent.value, None)
    valid = fits(json.loads(sent.value), SCHEMA)
    if isinstance(result, OrderCreated):
        assert valid
    elif result.reason in {"missing_field", "invalid_field"}:
        assert not valid


def test_the_schema_names_its_draft_and_what_is_required() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert SCHEMA["required"] == ["event", "createdAt"]


def test_every_example_of_a_time_is_one() -> None:
    for form in SCHEMA["properties"]["createdAt"]["anyOf"]:
        for example in form["examples"]:
            result = decode(Contract(), envelope(createdAt=example), None)
            assert not isinstance(result, Rejection)
