"""Whatever bytes come, decode answers, and what it accepts PostgreSQL can store."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies import Sent, broken_events, events
from wire import ORDER

from delivery.domain.event import Contract, OrderCreated, Rejection, decode
from delivery.domain.vocabulary import REASONS
from delivery.postgres.columns import DELIVERY

CONTRACT = Contract()

# The fields of an order that are kept as they are sent, with the columns that they fill.
FILLS = {field: re.sub("[A-Z]", r"_\g<0>", field).lower() for field in ORDER}
del FILLS["deliveryLimitedAt"]


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
    assert event.order_id >= 1
    for name, kind in DELIVERY.items():
        column = getattr(event, name)
        assert column is None or fits(column, kind), name
    check_payload(event)


def fits(value: Any, kind: str) -> bool:
    """Whether a column of this type holds the value."""
    if kind == "text":
        return type(value) is str and "\0" not in value
    if kind == "timestamptz":
        return bool(value.utcoffset() == timedelta(0))
    bits = {"int4": 32, "int8": 64}[kind]
    return type(value) is int and -(2 ** (bits - 1)) <= value < 2 ** (bits - 1)


def check_payload(event: OrderCreated) -> None:
    """A strict JSON parser reads the same from the payload."""
    sent = json.loads(event.payload, parse_constant=refuse)
    for field, column in FILLS.items():
        assert sent["event"].get(field) == getattr(event, column)


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
