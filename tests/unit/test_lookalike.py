"""What rejected values look like: each is rejected still, and the advice says what it is."""

import base64
import bz2
import gzip
import json
import lzma
from typing import Any

import pytest
from broken import BROKEN
from hypothesis import given
from hypothesis import strategies as st

from delivery.dead_letters.advice import ADVICE, advice
from delivery.domain.event import Contract, Rejection, decode
from delivery.domain.lookalike import looks_like
from delivery.domain.vocabulary import REASONS

ORDER = {"orderId": 2, "quantity": 3, "requestMessage": "문 앞에"}
EVENT: dict[str, Any] = {"event": ORDER, "createdAt": [2026, 1, 1, 0, 1, 14, 254000000]}
TEXT = json.dumps(EVENT, ensure_ascii=False)


def encoded(document: object) -> bytes:
    return json.dumps(document).encode()


def at(time: object) -> bytes:
    return encoded(EVENT | {"createdAt": time})


def of(**fields: object) -> bytes:
    return encoded(EVENT | {"event": ORDER | fields})


LOOKS: list[tuple[bytes, str]] = [
    # Bytes that are no JSON
    (b"\xef\xbb\xbf" + TEXT.encode(), "byte order mark"),
    (TEXT.encode("utf-16"), "UTF-16"),
    (TEXT.encode("utf-16-le"), "UTF-16"),
    (TEXT.encode("utf-16-be"), "UTF-16"),
    (TEXT.encode("utf-32"), "UTF-32"),
    (TEXT.encode("utf-32-be"), "UTF-32"),
    (TEXT.encode("cp949"), "cp949"),
    (json.dumps({"a": "\u00e9t\u00e9"}, ensure_ascii=False).encode("latin-1"), "code page"),
    (gzip.compress(TEXT.encode(), mtime=0), "gzip"),
    (bz2.compress(TEXT.encode()), "bzip2"),
    (lzma.compress(TEXT.encode()), "xz"),
    (b"\x28\xb5\x2f\xfd\x20\x00", "zstd"),
    (b"\x00\x00\x00\x00\x2a" + TEXT.encode(), "JSON of a schema registry"),
    (b"\x00\x00\x00\x01\x2a\x02\x04abc", "Avro or Protobuf of a schema registry"),
    (b"\xac\xed\x00\x05sr", "serialized Java object"),
    # Text that is no JSON
    (b'<?xml version="1.0"?><event/>', "XML"),
    (base64.b64encode(TEXT.encode()), "base64"),
    (str(EVENT).encode(), "Python's `repr`"),
    (b"OrderCreateEvent(orderId=2, quantity=3)", "Java's `toString`"),
    (b"orderId=2&quantity=3", "a form's fields"),
    (TEXT.encode()[:-7], "cut off"),
    (TEXT.encode()[:30], "cut off"),
    (TEXT.encode() * 2, "several JSON texts"),
    (TEXT.encode() + b"\n" + TEXT.encode(), "several JSON texts"),
    # JSON of another shape
    (encoded(TEXT), "serialized twice"),
    (encoded(EVENT | {"event": json.dumps(ORDER)}), "serialized twice"),
    (encoded([EVENT]), "an array of events"),
    (encoded([EVENT, EVENT]), "an array of events"),
    (encoded({"schema": {"type": "struct"}, "payload": EVENT}), "schema and payload"),
    (encoded({"schema": None, "payload": TEXT}), "schema and payload"),
    (encoded(["com.example.OrderCreateEvent", EVENT]), "default typing"),
    (encoded(EVENT | {"event": ["com.example.Order", ORDER]}), "default typing"),
    (encoded({"OrderCreateEvent": EVENT}), "within another object"),
    (encoded({"specversion": "1.0", "data": EVENT}), "CloudEvent"),
    (encoded({"before": None, "after": ORDER, "op": "c"}), "Debezium"),
    (encoded(ORDER), "without its envelope"),
    (encoded({"event": {"order_id": 2}, "created_at": "2026-01-01T00:00Z"}), "snake_case"),
    # Fields written in another way
    (at(1767225674), "seconds since 1970"),
    (at(1767225674.254), "seconds since 1970"),
    (at(1767225674254), "milliseconds since 1970"),
    (at("1767225674254"), "milliseconds since 1970"),
    (at(1767225674254000), "microseconds since 1970"),
    (at(1767225674254000000), "nanoseconds since 1970"),
    (at("2026-01-01 00:01:14"), "space instead of the T"),
    (at("2026-01-01"), "a date without a time"),
    (at([2026, 1, 1]), "a date without a time"),
    (of(deliveryLimitedAt=1767225674254), "milliseconds since 1970"),
    (of(orderId="2"), "`orderId` written as text"),
    (of(quantity="3"), "`quantity` written as text"),
]


@pytest.mark.parametrize(("value", "expected"), LOOKS)
def test_a_rejected_value_is_recognised_in_the_advice(value: bytes, expected: str) -> None:
    rejection = decode(Contract(), value, None)
    assert isinstance(rejection, Rejection)
    text = advice(rejection.reason, value)
    assert text.startswith("this looks like ")
    assert expected in text
    assert "문 앞" not in text


@pytest.mark.parametrize("expected", ["byte order mark", "gzip", "schema registry"])
def test_of_a_value_that_is_cut_the_first_bytes_are_enough(expected: str) -> None:
    value = next(value for value, look in LOOKS if expected in look)
    assert expected in str(looks_like(value[:20], is_cut=True))


def test_a_value_that_is_cut_is_not_taken_for_one_that_the_producer_cut() -> None:
    assert looks_like(TEXT.encode()[:-7], is_cut=True) is None


@pytest.mark.parametrize("number", [0, 1, 20260101, True, 10**30, -(10**400)])
def test_a_number_that_is_no_epoch_is_not_taken_for_one(number: int) -> None:
    assert looks_like(at(number)) is None


def test_there_is_advice_for_each_reason_whatever_the_value() -> None:
    for value, _ in BROKEN.values():
        for reason in REASONS:
            assert advice(reason, value)
    assert advice("future_event_time", gzip.compress(b"")) == ADVICE["future_event_time"]


NAMES = st.sampled_from(["event", "createdAt", "schema", "payload", "orderId", "op", "after"])
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner),
)


@given(st.binary() | DOCUMENTS.map(encoded))
def test_nothing_makes_it_fail(value: bytes) -> None:
    looks_like(value)
    looks_like(value, is_cut=True)
