"""What is personal in a payload is replaced, and nothing else of it changes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.web.masking import MASK, mask, masked_payload, masked_tokens

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


def test_numbers_and_booleans_are_replaced_and_null_stays() -> None:
    assert masked({"age": 41, "adult": True, "x": 1.5, "none": None}) == {
        "age": MASK,
        "adult": MASK,
        "x": MASK,
        "none": None,
    }


def test_a_key_that_stands_twice_is_masked_twice_and_digits_are_kept() -> None:
    text = '{"b":1.00,"event":{"productId":1.000000000000000000001,"name":1,"name":2},"a":"x"}'
    assert masked_payload(text) == (
        '{"b": "[masked]", "event": {"productId": 1.000000000000000000001, "name": "[masked]", '
        '"name": "[masked]"}, "a": "[masked]"}'
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
def test_structure_and_keys_stay(document: Any) -> None:
    assert same_shape(document, masked(document))


def same_shape(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same_shape(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same_shape, one, other))
    return bool(other in (MASK, one))
