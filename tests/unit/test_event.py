"""What decode accepts, and what an event then holds. Refusals are in test_event_rejected.py."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from wire import ABSENT, ENVELOPE, ORDER, envelope, order

from delivery.domain.event import DELIVERY_COLUMNS, Contract, OrderCreated, Rejection, decode

CONTRACT = Contract()
SEOUL = Contract(zone=ZoneInfo("Asia/Seoul"))
SENT_AT = datetime(2026, 1, 1, 0, 1, 14, 254000, UTC)

INT32 = (-(2**31), 2**31 - 1)
INT64 = (-(2**63), 2**63 - 1)


def accepted(
    value: bytes, contract: Contract = CONTRACT, record_time: datetime | None = None
) -> OrderCreated:
    event = decode(contract, value, record_time)
    assert isinstance(event, OrderCreated), event
    return event


def test_an_event_of_the_order_service_is_read_as_it_is() -> None:
    value = (  # as Spring and Jackson write it
        '{"event": {"orderId": 2, "productId": 3, "quantity": 4, "orderedBy": 5, '
        '"consumeCompanyId": 6, "supplyCompanyId": 7, "requestMessage": "문 앞에 놓아 주세요", '
        '"deliveryLimitedAt": [2026,1,4,0,1,14,254000000]}, "eventId": "…", '
        '"createdAt": [2026,1,1,0,1,14,254000000], "eventType": "…OrderCreateEvent", '
        '"source": "orderService.createOrder"}'
    ).encode()
    assert accepted(value) == OrderCreated(
        order_id=2,
        product_id=3,
        quantity=4,
        ordered_by=5,
        supply_company_id=7,
        consume_company_id=6,
        request_message="문 앞에 놓아 주세요",
        delivery_limited_at=datetime(2026, 1, 4, 0, 1, 14, 254000, UTC),
        event_time=datetime(2026, 1, 1, 0, 1, 14, 254000, UTC),
        payload=value,
    )


def test_a_local_time_of_the_order_service_is_read_in_the_contracts_zone() -> None:
    event = accepted(envelope(createdAt=[2026, 1, 1, 0, 1, 51, 12189000]), SEOUL)
    assert event.event_time == datetime(2025, 12, 31, 15, 1, 51, 12189, UTC)
    assert event.delivery_limited_at == datetime(2026, 1, 3, 15, 1, 14, 254000, UTC)


def test_an_offset_wins_over_the_contracts_zone() -> None:
    event = accepted(envelope(createdAt="2026-01-01T00:01:14.254Z"), SEOUL)
    assert event.event_time == SENT_AT


def test_an_order_needs_no_more_than_its_id_and_the_events_time() -> None:
    value = b'{"event":{"orderId":1},"createdAt":"2026-01-01T00:01:14.254Z"}'
    nothing = dict.fromkeys(set(DELIVERY_COLUMNS) - {"order_id", "event_time"})
    assert accepted(value) == OrderCreated(1, event_time=SENT_AT, payload=value, **nothing)


@pytest.mark.parametrize("order_id", [1, 2**31, 2**53 + 1, 2**63 - 1])
def test_an_order_id_has_up_to_63_bits(order_id: int) -> None:
    assert accepted(order(orderId=order_id)).order_id == order_id


@pytest.mark.parametrize(
    ("field", "column", "values"),
    [
        ("productId", "product_id", [*INT64, 0]),
        ("orderedBy", "ordered_by", [*INT64, 0]),
        ("supplyCompanyId", "supply_company_id", [*INT64, 0]),
        ("consumeCompanyId", "consume_company_id", [*INT64, 0]),
        ("quantity", "quantity", [*INT32, 0]),
        (
            "requestMessage",
            "request_message",
            ["", "문 앞", "a\nb\t\x7f", '"\\', "😀", "x" * 70_000],
        ),
    ],
)
def test_an_optional_field_fills_its_column(field: str, column: str, values: list[Any]) -> None:
    for value in values:
        assert getattr(accepted(order(**{field: value})), column) == value


@pytest.mark.parametrize("field", [name for name in ORDER if name != "orderId"])
@pytest.mark.parametrize("value", [None, ABSENT], ids=["null", "absent"])
def test_an_optional_field_may_be_null_or_absent(field: str, value: Any) -> None:
    without, full = accepted(order(**{field: value})), accepted(order())
    missing = [a for a, b in zip(without.delivery_row, full.delivery_row, strict=True) if a != b]
    assert missing == [None]


@pytest.mark.parametrize("field", [name for name in ENVELOPE if name not in {"event", "createdAt"}])
@pytest.mark.parametrize("value", [None, ABSENT, 1, [], {}], ids=str)
def test_what_else_the_envelope_holds_is_of_no_concern(field: str, value: Any) -> None:
    assert accepted(envelope(**{field: value})).event_time == SENT_AT


def test_fields_that_the_contract_does_not_name_are_kept_in_the_payload() -> None:
    value = order(giftWrap={"color": "red", "ribbons": [1, 2.50, True, None]})
    assert json.loads(accepted(value).payload) == json.loads(value)


RIGHT = '"event":{"orderId":1},"createdAt":"2026-01-01T00:01:14.254Z"'


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(f"{{{RIGHT}}}", id="compact"),
        pytest.param(f" \t\r\n{{ {RIGHT}\n}}\r\n", id="white space"),
        pytest.param(f'{{{RIGHT},"b":1,"a":2}}', id="key order"),
        pytest.param(f'{{{RIGHT},"a":1.00,"b":1E+2,"c":-0.0}}', id="spelling of numbers"),
        pytest.param(f'{{{RIGHT},"a":123456789012345678901234567890}}', id="beyond 64 bits"),
        pytest.param(f'{{{RIGHT},"a":1e999}}', id="beyond a float"),
        pytest.param(f'{{{RIGHT},"a":"\\ubb38\\/\\uD83D\\ude00"}}', id="escapes"),
        pytest.param(f'{{{RIGHT},"a":"\\u0000"}}', id="escaped NUL"),
        pytest.param(f'{{{RIGHT},"문":"😀\u2028"}}', id="unescaped Unicode"),
        pytest.param(f'{{{RIGHT},"a":1,"a":2}}', id="a key twice"),
        pytest.param(f'{{{RIGHT},"a":"NaN, Infinity"}}', id="NaN within a text"),
        pytest.param(f'{{{RIGHT},"a":{"[" * 150}{"]" * 150}}}', id="nested 150 deep"),
    ],
)
def test_the_payload_is_the_value_as_sent(value: str) -> None:
    assert accepted(value.encode()).payload == value.encode()


@pytest.mark.parametrize(
    "value",
    [
        pytest.param('{"event":{"orderId":1,"orderId":2},"createdAt":"2026-01-01T00:00"}', id="id"),
        pytest.param(
            '{"event":{"orderId":1},"event":{"orderId":2},"createdAt":"2026-01-01T00:00"}',
            id="event",
        ),
        pytest.param(
            '{"event":"x","createdAt":"x","event":{"orderId":2},"createdAt":"2026-01-01T00:00"}',
            id="wrong ones before",
        ),
    ],
)
def test_of_a_key_that_comes_twice_the_last_counts(value: str) -> None:
    assert accepted(value.encode()).order_id == 2


@pytest.mark.parametrize(
    ("ahead", "outcome"),
    [
        pytest.param(timedelta(minutes=-5), OrderCreated, id="earlier"),
        pytest.param(timedelta(days=-20_000), OrderCreated, id="decades earlier"),
        pytest.param(timedelta(0), OrderCreated, id="the same"),
        pytest.param(timedelta(minutes=5), OrderCreated, id="at the limit"),
        pytest.param(timedelta(minutes=5, microseconds=1), Rejection, id="just over the limit"),
        pytest.param(timedelta(hours=9), Rejection, id="nine hours"),
    ],
)
def test_an_event_may_be_little_ahead_of_its_record(ahead: timedelta, outcome: type) -> None:
    assert type(decode(CONTRACT, envelope(), SENT_AT - ahead)) is outcome


def test_the_allowed_skew_is_the_contracts() -> None:
    strict = replace(CONTRACT, max_future_skew=timedelta(0))
    generous = replace(CONTRACT, max_future_skew=timedelta(days=365))
    second_before = SENT_AT - timedelta(seconds=1)
    assert isinstance(decode(strict, envelope(), SENT_AT), OrderCreated)
    assert isinstance(decode(strict, envelope(), second_before), Rejection)
    assert isinstance(decode(generous, envelope(), second_before), OrderCreated)


def test_a_time_to_deliver_until_may_lie_in_the_future() -> None:
    event = accepted(order(deliveryLimitedAt="2126-01-01T00:00Z"), record_time=SENT_AT)
    assert event.delivery_limited_at == datetime(2126, 1, 1, tzinfo=UTC)


def test_without_a_records_time_no_event_is_too_far_ahead() -> None:
    event = accepted(envelope(createdAt="9999-12-31T23:59:59.999999Z"), record_time=None)
    assert event.event_time == datetime.max.replace(tzinfo=UTC)
