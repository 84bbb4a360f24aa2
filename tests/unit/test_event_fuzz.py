"""Whatever bytes come, decode answers, and what it accepts PostgreSQL can store."""

import json
from datetime import UTC, datetime, timedelta
from typing import NoReturn

from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies import Sent, broken_events, events

from delivery.domain.event import Contract, OrderCreated, Rejection, decode
from delivery.domain.vocabulary import REASONS

CONTRACT = Contract()


def check(value: bytes) -> OrderCreated | Rejection:
    """Decodes `value`, and asserts what holds of every answer."""
    result = decode(CONTRACT, value, None)
    assert decode(CONTRACT, value, None) == result
    if isinstance(result, Rejection):
        check_rejection(result)
    else:
        check_event(result, value)
    return result


def check_rejection(rejection: Rejection) -> None:
    assert rejection.reason in REASONS
    assert rejection.error
    assert "\0" not in rejection.error
    assert rejection.order_id is None or 1 <= rejection.order_id < 2**63


def check_event(event: OrderCreated, value: bytes) -> None:
    assert event.payload == value
    assert b"\0" not in event.payload
    assert 1 <= event.order_id < 2**63
    assert event.quantity is None or -(2**31) <= event.quantity < 2**31
    for number in (event[1], *event[3:6]):
        assert number is None or (type(number) is int and -(2**63) <= number < 2**63)
    assert "\0" not in (event.request_message or "")
    for time in (event.event_time, event.delivery_limited_at):
        assert time is None or time.utcoffset() == timedelta(0)
    check_payload(event)


def check_payload(event: OrderCreated) -> None:
    """A strict JSON parser reads the same from the payload."""
    sent = json.loads(event.payload, parse_constant=refuse)
    names = ("orderId", "productId", "quantity", "orderedBy", "supplyCompanyId", "consumeCompanyId")
    assert tuple(sent["event"].get(name) for name in names) == event[:6]
    assert sent["event"].get("requestMessage") == event.request_message


def refuse(name: str) -> NoReturn:
    raise AssertionError(f"{name} is no JSON")


@given(st.binary(max_size=64) | st.text(max_size=64).map(lambda text: text.encode("utf-8")))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_rejected_and_never_raise(value: bytes) -> None:
    assert isinstance(check(value), Rejection)


@given(broken_events())
@settings(max_examples=400, deadline=None)
def test_broken_events_are_accepted_or_rejected_and_never_raise(value: bytes) -> None:
    check(value)


@given(events())
@settings(max_examples=400, deadline=None)
@example(Sent(b'{"event":{"orderId":1},"createdAt":[2026,1,1,0,0]}', True))
def test_an_event_is_accepted_exactly_if_each_of_its_fields_is_right(sent: Sent) -> None:
    assert isinstance(check(sent.value), OrderCreated) is sent.right


@given(events(), st.datetimes(timezones=st.just(UTC)), st.timedeltas(timedelta(0)))
@settings(max_examples=100, deadline=None)
def test_only_the_distance_to_the_records_time_can_change_the_answer(
    sent: Sent, record_time: datetime, skew: timedelta
) -> None:
    without = check(sent.value)
    result = decode(Contract(max_future_skew=skew), sent.value, record_time)
    if isinstance(without, OrderCreated) and without.event_time - record_time > skew:
        assert isinstance(result, Rejection)
        assert (result.reason, result.order_id) == ("future_event_time", without.order_id)
    else:
        assert result == without
