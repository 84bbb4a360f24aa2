"""What is personal in a payload is replaced, and nothing else of it changes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.web.masking import (
    MASK,
    mask,
    mask_header,
    mask_header_value,
    masked_payload,
    masked_tokens,
)

TECHNICAL = {
    "event": {
        "orderId": 2,
        "productId": 12345678901234567890,
        "quantity": 3,
        "deliveryLimitedAt": [2026, 1, 4, 0, 1, 14, 254000000],
    },
    "eventId": "5f0c6f3e",
    "createdAt": "2026-01-01T00:01:14.254Z",
    "eventType": "com.example.OrderCreateEvent",
    "source": "orderService.createOrder",
}

SECRET = "Mrs. Kim"


def masked(value: object) -> Any:
    return json.loads(masked_payload(json.dumps(value)))


def test_a_mask_tells_neither_kind_nor_length() -> None:
    assert mask("") == mask("long text") == mask(4711) == mask(None) == mask(b"\0")


def test_what_the_contract_knows_as_technical_stays() -> None:
    assert masked(TECHNICAL) == TECHNICAL


def test_what_it_knows_as_personal_is_replaced() -> None:
    personal = {"orderedBy": 31, "consumeCompanyId": 4, "supplyCompanyId": 5,
                "requestMessage": SECRET}  # fmt: skip
    assert masked({"event": personal}) == {"event": dict.fromkeys(personal, MASK)}


@pytest.mark.parametrize(
    "value",
    [
        SECRET,
        [SECRET],
        {"name": SECRET},
        {"event": SECRET},
        {"event": [{"orderId": SECRET}]},
        {"event": {"customer": {"orderId": SECRET}}},
        {"orderId": SECRET},
        {"event": {"eventId": SECRET}},
        {"createdAt": [SECRET]},
        {"createdAt": [[SECRET]]},
        {"source": {"by": SECRET}},
        {"source": [{"source": SECRET}]},
        {"event": {"orderId": 1, "Quantity": SECRET}},
        {"event": {"": SECRET, "quantity": 1}},
        {"event": {'a": {"orderId"': SECRET}},
        [{"event": {"orderId": 1}}, [{"source": [SECRET]}]],
    ],
)
def test_a_field_that_is_not_known_is_personal_wherever_it_stands(value: object) -> None:
    assert SECRET not in masked_payload(json.dumps(value))


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("eventId", ["5f0c6f3e-43a9-4e1c-9f5b-0c6b6e0f3c55", "01JD8ZKQ4N8M3T7R2V5X9Y0WAB",
                     "5f0c6f3e", "7263482910475612160", 4711]),
        ("eventType", ["com.example.OrderCreateEvent", "OrderCreateEvent"]),
        ("source", ["orderService.createOrder", "com.example.OrderService.create"]),
    ],
)  # fmt: skip
def test_an_id_a_class_and_a_method_stay(field: str, values: list[object]) -> None:
    for value in values:
        assert masked({field: value}) == {field: value}


@pytest.mark.parametrize("field", ["eventId", "eventType", "source"])
@pytest.mark.parametrize(
    "value",
    [SECRET, "Kim", "Mrs.Kim", "kim@example.com", "010-1234-5678", "01012345678", "문 앞에",
     "called by Mrs. Kim", "OrderCreateEvent of Mrs. Kim", "orderService.createOrder()", "",
     "5f0c6f3e Kim", "\u006bim"],
)  # fmt: skip
def test_free_text_in_a_technical_field_is_replaced(field: str, value: str) -> None:
    assert masked({field: value}) == {field: MASK}


def test_a_key_that_is_not_known_is_replaced_and_known_ones_stay_everywhere() -> None:
    document = {"event": {SECRET: {"orderId": 1}}, "source": {"Kim": 1}, "Kim": [{"Kim": None}]}
    assert masked(document) == {
        "event": {"[masked 1]": {"orderId": MASK}},
        "source": {"[masked 2]": MASK},
        "[masked 2]": [{"[masked 2]": None}],
    }


@pytest.mark.parametrize(
    ("name", "shown"),
    [("__TypeId__", "__TypeId__"), ("traceparent", "traceparent"), ("X-B3-TraceId",) * 2,
     ("Mrs. Kim", MASK), ("customer", MASK), ("__Type Id__", MASK), ("", MASK)],
)  # fmt: skip
def test_names_of_headers_that_no_framework_writes_are_replaced(name: str, shown: str) -> None:
    assert mask_header(name) == shown


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [("traceparent", TRACE, TRACE), ("Traceparent", TRACE, TRACE), ("traceparent", None, None),
     ("traceparent", f"{TRACE}-Kim", MASK), ("traceparent", "Kim", MASK), ("trace", TRACE, MASK),
     ("tracestate", "vendor=kim", MASK), ("__TypeId__", "a.B", MASK)],
)  # fmt: skip
def test_values_of_headers_are_replaced_but_the_id_of_a_trace(
    name: str, value: str | None, shown: str | None
) -> None:
    assert mask_header_value(name, value) == shown


def test_numbers_and_booleans_are_replaced_and_null_stays() -> None:
    assert masked({"age": 41, "adult": True, "x": 1.5, "none": None}) == {
        "[masked 1]": MASK,
        "[masked 2]": MASK,
        "[masked 3]": MASK,
        "[masked 4]": None,
    }


def test_a_key_that_stands_twice_is_masked_twice_and_digits_are_kept() -> None:
    text = '{"b":1.00,"event":{"productId":1.000000000000000000001,"name":1,"name":2},"a":"x"}'
    assert masked_payload(text) == (
        '{"[masked 1]": "[masked]", "event": {"productId": 1.000000000000000000001, '
        '"[masked 2]": "[masked]", "[masked 2]": "[masked]"}, "[masked 3]": "[masked]"}'
    )


def test_an_escaped_key_is_no_known_key() -> None:
    assert "4711" not in masked_payload('{"event": {"\\u006frderId": 4711}}')


def test_no_depth_is_too_deep() -> None:
    deep = '{"a":[' * 10_000 + f'"{SECRET}"' + "]}" * 10_000
    assert SECRET not in masked_payload(deep)
    assert len(masked_payload(deep)) > len(deep)


@pytest.mark.parametrize("end", range(60))
def test_the_beginning_of_a_payload_tells_no_more_than_the_whole(end: int) -> None:
    text = json.dumps({"a": 'x, "Kim": Kim [Kim]', "b": ['{"Kim":', 'Kim\\"Kim'], "c": 0})[:end]
    assert "Kim" not in "".join(masked_tokens(text))


Documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(
        ["event", "orderId", "createdAt", "source"]), inner),
)  # fmt: skip


@given(Documents)
def test_structure_stays(document: Any) -> None:
    assert same_shape(document, masked(document))


def same_shape(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return len(one) == len(other) and all(map(same_shape, one.values(), other.values()))
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same_shape, one, other))
    return bool(other in (MASK, one))
