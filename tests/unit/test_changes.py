"""What each record of an order changed in its delivery."""

import json
from datetime import UTC, datetime
from typing import Any

from delivery.domain.event import OrderCreated
from delivery.domain.vocabulary import EVENT_OUTCOMES, OUTCOMES
from delivery.web.pages.changes import SHAPING, WHY_NOTHING, Change, Step, between, follow, read


def event(minute: int = 0, **fields: Any) -> OrderCreated:
    created_at = f"2026-11-01T01:{minute:02}:00Z"
    found = read(json.dumps({"event": {"orderId": 1, **fields}, "createdAt": created_at}))
    assert found
    return found


def followed(shaped: OrderCreated | None, *steps: tuple[str, OrderCreated | None]) -> list[Any]:
    return list(follow(shaped, [Step(*step) for step in steps]))


def test_the_first_event_gives_a_delivery_all_that_it_names() -> None:
    assert followed(None, ("created", event(quantity=2, orderedBy=7))) == [
        (Change("quantity", None, 2), Change("ordered_by", None, 7))
    ]


def test_a_newer_event_changes_what_differs_from_the_one_before() -> None:
    steps = followed(
        None,
        ("created", event(0, quantity=2, productId=5, orderedBy=7)),
        ("updated", event(1, quantity=3, productId=5)),
        ("updated", event(2, quantity=3, productId=5, requestMessage="x")),
    )
    assert steps[1:] == [
        (Change("quantity", 2, 3), Change("ordered_by", 7, None)),
        (Change("request_message", None, "x"),),
    ]


def test_the_event_time_is_no_change_of_its_own() -> None:
    assert between(event(0, quantity=1), event(1, quantity=1)) == ()


def test_other_outcomes_change_nothing_and_are_not_what_the_next_is_compared_with() -> None:
    others = [(name, event(9, quantity=99)) for name in sorted(set(OUTCOMES) - SHAPING)]
    steps = followed(None, ("created", event(0, quantity=2)), *others,
                     ("updated", event(1, quantity=3)))  # fmt: skip
    assert steps[1:-1] == [()] * len(others)
    assert steps[-1] == (Change("quantity", 2, 3),)


def test_the_first_record_shown_is_compared_with_what_shaped_the_delivery_before() -> None:
    before = event(0, quantity=2)
    assert followed(before, ("updated", event(1, quantity=3))) == [(Change("quantity", 2, 3),)]


def test_where_the_event_before_is_not_known_nobody_can_tell_until_the_next() -> None:
    assert followed(None, ("updated", event(1, quantity=2)), ("updated", event(2, quantity=3))) == [
        None,
        (Change("quantity", 2, 3),),
    ]
    assert followed(event(0), ("updated", None), ("updated", event(2))) == [None, None]


def test_there_is_a_reason_for_each_outcome_that_changes_nothing() -> None:
    assert set(WHY_NOTHING) == set(OUTCOMES) - SHAPING
    assert set(EVENT_OUTCOMES) > SHAPING


def test_a_payload_that_is_no_event_any_more_is_not_read() -> None:
    assert read('{"event": {}}') is None


def test_a_limit_with_an_offset_is_a_moment_and_one_without_is_as_it_was_sent() -> None:
    nine = datetime(2026, 11, 4, 9)  # noqa: DTZ001 (it has none, that is the point)
    assert event(deliveryLimitedAt="2026-11-04T18:00+09:00").delivery_limited_at == nine.replace(
        tzinfo=UTC
    )
    assert event(deliveryLimitedAt="2026-11-04T09:00").delivery_limited_at == nine
    assert event(deliveryLimitedAt=[2026, 11, 4, 9, 0]).delivery_limited_at == nine


def test_the_same_limit_written_in_another_way_is_no_change() -> None:
    array, text = [2026, 11, 4, 9, 0], "2026-11-04T09:00:00.000"
    assert between(event(deliveryLimitedAt=array), event(1, deliveryLimitedAt=text)) == ()
