"""What decode refuses: the reason, the words, and the order it belongs to."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from wire import ABSENT, ORDER, envelope, order

from delivery.domain.event import Contract, Rejection, decode
from delivery.domain.vocabulary import Reason

CONTRACT = Contract()
SENT_AT = datetime(2026, 1, 1, 0, 1, 14, 254000, UTC)
MARK = "Gildong-010-4242"  # personal data that no error may repeat
NUMBER = 42424242424242424242


def rejected(value: bytes | None, record_time: datetime | None = None) -> Rejection:
    rejection = decode(CONTRACT, value, record_time)
    assert isinstance(rejection, Rejection), rejection
    return rejection


def test_a_null_value_is_a_tombstone() -> None:
    assert rejected(None).reason == "tombstone"


RIGHT = envelope().decode()


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b" \n", id="white space"),
        pytest.param(b"hello", id="text"),
        pytest.param(b"\xac\xed\x00\x05t\x00\x05", id="a serialized Java object"),
        pytest.param(b"\x00\x00\x00\x00\x01\x02", id="an Avro record"),
        pytest.param(RIGHT.encode()[:-1], id="cut off"),
        pytest.param(RIGHT.encode() + b"}", id="a bracket too many"),
        pytest.param(RIGHT.encode() * 2, id="two events"),
        pytest.param(RIGHT.encode() + b"\x00", id="NUL behind"),
        pytest.param(b"\xef\xbb\xbf" + RIGHT.encode(), id="byte order mark"),
        pytest.param(RIGHT.encode("utf-16"), id="UTF-16"),
        pytest.param(RIGHT.encode("cp949"), id="CP949, Korea's old code page"),
        pytest.param(envelope(source=MARK).replace(b"4242", b"\xff"), id="not UTF-8"),
        pytest.param(envelope(source=MARK).replace(b"4242", b"\xed\xa0\x80"), id="raw surrogate"),
        pytest.param(envelope(source=MARK).replace(b"4242", b"\xc0\x80"), id="overlong NUL"),
        pytest.param(envelope(source=MARK).replace(b"4242", b"\n"), id="raw line feed in a text"),
        pytest.param(envelope(source=MARK).replace(b"4242", b"\\ud800"), id="lone surrogate"),
        pytest.param(envelope(source=MARK).replace(b"4242", b"\\x41"), id="unknown escape"),
        pytest.param(envelope(source=float("nan")), id="NaN"),
        pytest.param(envelope(source=[{"a": float("inf")}]), id="Infinity"),
        pytest.param(envelope(source=float("-inf")), id="-Infinity"),
        pytest.param(RIGHT.replace('"', "'").encode(), id="single quotes"),
        pytest.param(RIGHT[:-1].encode() + b",}", id="trailing comma"),
        pytest.param(RIGHT.replace('"orderId": 2', '"orderId": 02').encode(), id="leading zero"),
        pytest.param(RIGHT.replace('"orderId": 2', '"orderId": +2').encode(), id="plus sign"),
        pytest.param(RIGHT.encode() + b"//", id="comment"),
        pytest.param(b"[" * 100_000, id="100,000 brackets"),
        pytest.param(b'{"event":' * 100_000, id="100,000 objects"),
        pytest.param(envelope(source=MARK).replace(b"4242", b"\\u004"), id="short escape"),
    ],
)
def test_what_is_not_json_belongs_to_no_order(value: bytes) -> None:
    rejection = rejected(value)
    assert (rejection.reason, rejection.order_id) == ("not_json", None)
    assert rejection.error.startswith("Invalid JSON: ")


@pytest.mark.parametrize(
    "order_id",
    [0, -1, 2**63, -(2**63), 10**40, 2.0, "2", "", True, False, None, [2], {"id": 2}],
    ids=repr,
)
def test_an_order_id_is_a_positive_integer_of_63_bits(order_id: Any) -> None:
    rejection = rejected(order(orderId=order_id))
    assert (rejection.reason, rejection.order_id) == ("invalid_field", None)
    assert rejection.error.startswith("event.orderId: ")


INTEGERS = ("productId", "orderedBy", "supplyCompanyId", "consumeCompanyId", "quantity")


@pytest.mark.parametrize("field", INTEGERS)
@pytest.mark.parametrize(
    "value", [2**63, -(2**63) - 1, 10**40, 3.0, 0.5, "3", "", True, False, [], {}], ids=repr
)
def test_a_number_has_to_be_an_integer_that_its_column_holds(field: str, value: Any) -> None:
    rejection = rejected(order(**{field: value}))
    assert (rejection.reason, rejection.order_id) == ("invalid_field", 2)
    assert rejection.error.startswith(f"event.{field}: ")


@pytest.mark.parametrize("quantity", [2**31, -(2**31) - 1])
def test_a_quantity_has_32_bits(quantity: int) -> None:
    assert rejected(order(quantity=quantity)).reason == "invalid_field"


@pytest.mark.parametrize("message", [1, True, [], {}, "\0", "a\0", "\0a", "a\n\0\nb"], ids=repr)
def test_a_message_is_text_without_nul(message: Any) -> None:
    rejection = rejected(order(requestMessage=message))
    assert (rejection.reason, rejection.order_id) == ("invalid_field", 2)
    assert rejection.error.startswith("event.requestMessage: ")


@pytest.mark.parametrize(
    "time",
    [
        pytest.param(True, id="boolean"),
        pytest.param(0, id="0"),
        pytest.param(1767225674, id="seconds since 1970"),
        pytest.param(1767225674.254, id="seconds since 1970, with a fraction"),
        pytest.param({"year": 2026}, id="object"),
        pytest.param("", id="empty text"),
        pytest.param("yesterday", id="text"),
        pytest.param("2026-02-29T00:00Z", id="no leap year"),
        pytest.param([], id="array of 0"),
        pytest.param([2026, 1, 1, 0], id="array of 4"),
        pytest.param([2026, 1, 1, 0, 0, 0, 0, 0], id="array of 8"),
        pytest.param([2026, 1, 1, 0, "0"], id="array with text"),
        pytest.param([2026, 1, 1, 0, 0.0], id="array with a float"),
        pytest.param([2026, True, 1, 0, 0], id="array with a boolean"),
        pytest.param([2026, 1, 1, 0, None], id="array with null"),
        pytest.param([2026, 1, 1, 0, [0]], id="array in array"),
        pytest.param([10**40] * 6, id="array of huge numbers"),
        pytest.param([2026, 13, 1, 0, 0], id="array, month 13"),
        pytest.param([2026, 1, 1, 0, 0, 0, 10**9], id="array, a second of nanoseconds"),
    ],
)
def test_a_wrong_time_is_named(time: Any) -> None:
    for value, field in (
        (envelope(createdAt=time), "createdAt"),
        (order(deliveryLimitedAt=time), "event.deliveryLimitedAt"),
    ):
        rejection = rejected(value)
        assert (rejection.reason, rejection.order_id) == ("invalid_time", 2)
        assert rejection.error.startswith(f"{field}: ")


def test_an_event_has_its_time() -> None:
    rejection = rejected(envelope(createdAt=None))
    assert (rejection.reason, rejection.order_id) == ("invalid_time", 2)
    assert rejection.error.startswith("createdAt: ")


@pytest.mark.parametrize(
    ("value", "reason", "order_id", "names"),
    [
        pytest.param(b"{}", "missing_field", None, ["event", "createdAt"], id="empty object"),
        pytest.param(envelope(event=ABSENT), "missing_field", None, ["event"], id="no event"),
        pytest.param(envelope(event={}), "missing_field", None, ["event.orderId"], id="no orderId"),
        pytest.param(envelope(createdAt=ABSENT), "missing_field", 2, ["createdAt"], id="no time"),
        pytest.param(b"[]", "invalid_field", None, ["the value"], id="an array"),
        pytest.param(b"null", "invalid_field", None, ["the value"], id="null in JSON"),
        pytest.param(b"2", "invalid_field", None, ["the value"], id="a number"),
        pytest.param(b"[" + envelope() + b"]", "invalid_field", None, ["the value"], id="in []"),
        pytest.param(
            json.dumps(RIGHT).encode(), "invalid_field", None, ["the value"], id="JSON in a text"
        ),
        pytest.param(envelope(event=None), "invalid_field", None, ["event"], id="event null"),
        pytest.param(envelope(event=[ORDER]), "invalid_field", None, ["event"], id="event array"),
        pytest.param(
            order(quantity="4", productId=None, orderedBy=0.5),
            "invalid_field",
            2,
            ["event.quantity", "event.orderedBy"],
            id="two wrong fields",
        ),
    ],
)
def test_the_reason_is_reported_with_the_names_of_the_fields(
    value: bytes, reason: Reason, order_id: int | None, names: list[str]
) -> None:
    rejection = rejected(value)
    assert (rejection.reason, rejection.order_id) == (reason, order_id)
    for name in names:
        assert f"{name}: " in rejection.error


def test_an_error_can_be_read_by_people() -> None:
    assert rejected(order(quantity="4")).error == "event.quantity: Input should be a valid integer"


def test_of_a_key_that_comes_twice_the_last_counts() -> None:
    value = b'{"event":{"orderId":1,"quantity":1,"quantity":"x"},"createdAt":[2026,1,1,0,0]}'
    assert rejected(value).order_id == 1


def test_an_event_from_the_future_names_the_likely_cause() -> None:
    contract = Contract(zone=ZoneInfo("Asia/Seoul"), max_future_skew=timedelta(seconds=90))
    value = envelope(createdAt="2026-01-01T00:01:14.254Z")
    rejection = decode(contract, value, SENT_AT - timedelta(hours=9))
    assert isinstance(rejection, Rejection)
    assert (rejection.reason, rejection.order_id) == ("future_event_time", 2)
    for words in ("9:00:00 ahead", "0:01:30", "DELIVERY_MAX_FUTURE_SKEW"):
        assert words in rejection.error
    assert "DELIVERY_EVENT_TIMEZONE (Asia/Seoul)" in rejection.error


@pytest.mark.parametrize("mark", [MARK, NUMBER, f"{MARK}\0", [MARK], {MARK: MARK}], ids=str)
@pytest.mark.parametrize("field", [*ORDER, "createdAt", "event"])
def test_an_error_repeats_no_value_of_the_record(field: str, mark: Any) -> None:
    value = order(**{field: mark}) if field in ORDER else envelope(**{field: mark})
    event = decode(CONTRACT, value, None)
    if isinstance(event, Rejection):
        assert MARK not in repr(event)
        assert str(NUMBER) not in repr(event)
    else:
        assert (field, mark) == ("requestMessage", MARK)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(f"{MARK}", id="text"),
        pytest.param(f'"{MARK}', id="open text"),
        pytest.param(f'{{"{MARK}" 1}}', id="key without colon"),
        pytest.param(f'{{"event":{MARK}}}', id="unquoted"),
        pytest.param(f'{{"{MARK}":"{MARK}"}}', id="an unknown field alone"),
        pytest.param(f'{{"event":{{"{MARK}":1}}}}', id="an unknown field of the order"),
        pytest.param(f"{RIGHT}{MARK}", id="behind an event"),
        pytest.param(f'{{"a":"{MARK}\\ud800"}}', id="lone surrogate"),
        pytest.param(f'{RIGHT[:-1]},"{MARK}":NaN}}', id="key of a NaN"),
        pytest.param(f'["{MARK}"]', id="array"),
    ],
)
def test_an_error_repeats_no_text_that_is_not_an_event(value: str) -> None:
    assert MARK not in repr(rejected(value.encode()))
