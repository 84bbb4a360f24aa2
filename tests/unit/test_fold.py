"""The checks of verify on rows in memory: which findings, and that each is told once."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
import wire

from delivery.domain.event import Contract, OrderCreated, decode
from delivery.domain.vocabulary import EVENT_OUTCOMES
from delivery.verify import coordinates, fold, payload
from delivery.verify.coordinates import Before, Gap, Occupied
from delivery.verify.finding import Finding
from delivery.verify.rows import NO_DELIVERY, Delivery, Duplicate, Entry

UTC_CONTRACT = Contract(UTC)
START = datetime(2026, 1, 1, tzinfo=UTC)


def at(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


def value(order_id: int, minute: int, **fields: object) -> bytes:
    order = {**wire.ORDER, "orderId": order_id, **fields}
    return wire.envelope(event=order, createdAt=at(minute).isoformat())


def entry(
    order_id: int, minute: int, outcome: str, content: bytes | None = None, offset: int = 0
) -> Entry:
    content = value(order_id, minute) if content is None else content
    return Entry(order_id, at(minute), outcome, content, "orders", 0, offset, NO_DELIVERY)


def delivery(order_id: int, minute: int, **fields: object) -> Delivery:
    event = decode(UTC_CONTRACT, value(order_id, minute, **fields), None)
    assert isinstance(event, OrderCreated)
    return event.delivery_row


def kinds(findings: Iterable[Finding]) -> list[tuple[str, int | None]]:
    return [(finding.kind, finding.order_id) for finding in findings]


def compared(log: list[Entry], deliveries: list[Delivery]) -> list[Finding]:
    there = {delivery[0]: delivery for delivery in deliveries}
    joined = [e._replace(delivery=there.get(e.order_id, NO_DELIVERY)) for e in log]
    return list(fold.against_log(UTC_CONTRACT, joined))


# the fold


def test_a_fold_of_the_log_is_no_finding() -> None:
    log = [
        entry(1, 5, "created"),
        entry(1, 3, "stale"),
        entry(1, 7, "updated"),
        entry(1, 9, "too_late"),
        entry(1, 8, "too_late"),
        entry(2, 1, "created"),
    ]
    assert compared(log, [delivery(1, 7), delivery(2, 1)]) == []


@pytest.mark.parametrize("outcome", EVENT_OUTCOMES)
def test_each_outcome_of_an_event_may_stand_somewhere_in_the_log(outcome: str) -> None:
    logs = [
        [entry(1, 5, outcome)],
        [entry(1, 5, "created"), entry(1, 9, outcome)],
        [entry(1, 5, "created"), entry(1, 3, outcome)],
    ]
    found = [[kind for kind, _ in kinds(compared(log, []))] for log in logs]
    assert not all("contradicted_outcome" in of_a_log for of_a_log in found)


def test_nothing_is_the_fold_of_nothing() -> None:
    assert compared([], []) == []


def test_missing_deliveries_are_told_wherever_they_are() -> None:
    log = [entry(order_id, 0, "created") for order_id in (2, 3, 5, 7)]
    deliveries = [delivery(order_id, 0) for order_id in (3, 5)]
    assert kinds(compared(log, deliveries)) == [("missing_delivery", 2), ("missing_delivery", 7)]


def test_a_delivery_that_no_event_created_is_an_extra_one() -> None:
    log = [entry(1, 0, "stale"), entry(2, 0, "created")]
    found = compared(log, [delivery(1, 3), delivery(2, 0)])
    assert kinds(found) == [("contradicted_outcome", 1), ("extra_delivery", 1)]
    assert found[1].event_time == at(3)


@pytest.mark.parametrize(
    ("column", "other"),
    [
        ("product_id", {"productId": 99}),
        ("quantity", {"quantity": None}),
        ("ordered_by", {"orderedBy": 99}),
        ("supply_company_id", {"supplyCompanyId": 99}),
        ("consume_company_id", {"consumeCompanyId": 99}),
        ("request_message", {"requestMessage": "other"}),
        ("delivery_limited_at", {"deliveryLimitedAt": [2026, 1, 4, 0, 2]}),
    ],
)
def test_a_column_that_differs_is_named(column: str, other: dict[str, object]) -> None:
    (found,) = compared([entry(1, 0, "created")], [delivery(1, 0, **other)])
    assert (found.kind, found.columns) == ("different_delivery", (column,))
    assert column in found.detail


def test_the_last_event_that_was_applied_shapes_the_delivery() -> None:
    log = [entry(1, 5, "created"), entry(1, 7, "updated"), entry(1, 9, "too_late")]
    for minute in (5, 9):
        (found,) = compared(log, [delivery(1, minute)])
        assert (found.kind, found.columns) == ("different_delivery", ("event_time",))


# erasures


def erased(row: Entry) -> Entry:
    return row._replace(payload=None)


NOBODYS: dict[str, object] = {
    "orderedBy": None,
    "supplyCompanyId": None,
    "consumeCompanyId": None,
    "requestMessage": None,
}


def test_a_delivery_without_personal_data_is_the_fold_of_an_erased_event() -> None:
    log = [erased(entry(1, 5, "created")), erased(entry(1, 3, "stale")), entry(2, 0, "created")]
    assert compared(log, [delivery(1, 5, **NOBODYS), delivery(2, 0)]) == []


@pytest.mark.parametrize("left", NOBODYS)
def test_personal_data_that_is_left_after_an_erasure_is_reported(left: str) -> None:
    others = {name: value for name, value in NOBODYS.items() if name != left}
    (found,) = compared([erased(entry(1, 0, "created"))], [delivery(1, 0, **others)])
    assert (found.kind, len(found.columns)) == ("different_delivery", 1)


def test_an_erased_event_has_its_outcome_and_its_time_still() -> None:
    log = [erased(entry(1, 5, "created")), erased(entry(1, 7, "stale"))]
    found = compared(log, [delivery(1, 7, **NOBODYS)])
    assert kinds(found) == [("contradicted_outcome", 1), ("different_delivery", 1)]
    assert compared(log[:1], [])[0].kind == "missing_delivery"


# outcomes


@pytest.mark.parametrize(
    ("outcomes", "wrong"),
    [
        ([(5, "updated")], [0]),
        ([(5, "stale"), (6, "updated")], [0]),
        ([(5, "too_late"), (4, "stale"), (6, "updated")], [0]),
        ([(5, "created"), (6, "created")], [1]),
        ([(5, "created"), (4, "created"), (3, "stale")], [1]),
        ([(5, "created"), (6, "stale")], [1]),
        ([(5, "created"), (4, "updated")], [1]),
        ([(5, "created"), (5, "updated")], [1]),
        ([(5, "created"), (4, "too_late")], [1]),
        ([(5, "created"), (9, "too_late"), (7, "stale")], [2]),
        ([(5, "created"), (9, "updated"), (7, "updated")], [2]),
    ],
)
def test_an_outcome_that_can_not_be_is_one_finding(
    outcomes: list[tuple[int, str]], wrong: list[int]
) -> None:
    log = [entry(1, m, outcome, offset=n) for n, (m, outcome) in enumerate(outcomes)]
    shapes = [m for m, outcome in outcomes if outcome in {"created", "updated"}]
    deliveries = [delivery(1, shapes[-1])] if shapes else []
    found = compared(log, deliveries)
    assert [f.coordinates for f in found] == [("orders", 0, n) for n in wrong]
    assert {f.kind for f in found} == {"contradicted_outcome"}


def test_one_order_does_not_know_of_another() -> None:
    log = [entry(1, 9, "created"), entry(2, 1, "created"), entry(2, 2, "updated")]
    assert compared(log, [delivery(1, 9), delivery(2, 2)]) == []


# payloads


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (value(2, 0), "payload_of_another_key"),
        (value(1, 1), "payload_of_another_key"),
        (b"{}", "undecodable_payload"),
        (b"", "undecodable_payload"),
        (value(1, 0, quantity="1"), "undecodable_payload"),
    ],
)
@pytest.mark.parametrize("outcome", ["created", "stale"])
def test_a_payload_that_does_not_say_its_key_is_one_finding(
    content: bytes, kind: str, outcome: str
) -> None:
    # The delivery's other columns are not told on top of it: what they should be is not known.
    first = [] if outcome == "created" else [entry(1, 5, "created")]
    shaped = delivery(1, 5 if first else 0, productId=99 if not first else wire.ORDER["productId"])
    assert kinds(compared([*first, entry(1, 0, outcome, content)], [shaped])) == [(kind, 1)]


def test_a_delivery_of_another_time_than_an_undecodable_event_is_reported() -> None:
    found = compared([entry(1, 0, "created", b"{}")], [delivery(1, 3)])
    assert kinds(found) == [("undecodable_payload", 1), ("different_delivery", 1)]
    assert found[1].columns == ("event_time",)


def test_another_time_zone_is_hinted_at() -> None:
    contract = Contract(ZoneInfo("Asia/Seoul"))
    local = wire.envelope(createdAt=[2026, 1, 1, 0, 0])
    row = Entry(2, START, "created", local, "orders", 0, 0, NO_DELIVERY)
    found = payload.read(contract, row)
    assert isinstance(found, Finding)
    assert "2025-12-31T15:00:00+00:00" in found.detail
    assert "DELIVERY_EVENT_TIMEZONE than Asia/Seoul" in found.detail


def test_a_finding_is_one_line_without_the_payload() -> None:
    content = b'{"event":\n{"orderId": 1, "requestMessage": "secret", "quantity": "secret"}}'
    (found, _) = compared([entry(1, 0, "created", content)], [])
    assert str(found).startswith(
        "undecodable_payload order 1, event of 2026-01-01T00:00:00+00:00, record orders/0/0: "
    )
    assert "\n" not in str(found)
    assert "secret" not in str(found)


@pytest.mark.parametrize(
    ("content", "has_event", "kind"),
    [
        (None, True, None),
        (value(1, 0, quantity=99), True, None),
        (None, False, "duplicate_of_no_event"),
        (value(1, 0), False, "duplicate_of_no_event"),
        (value(2, 0), True, "payload_of_another_key"),
        (b"{}", True, "undecodable_payload"),
    ],
)
def test_a_duplicate_has_an_event_and_its_key(
    content: bytes | None, has_event: bool, kind: str | None
) -> None:
    row = Duplicate(1, START, content, has_event, "orders", 0, 7)
    found = payload.duplicate(UTC_CONTRACT, row)
    assert (found.kind if found else None) == kind
    assert found is None or found.coordinates == ("orders", 0, 7)


# coordinates


TODAY = UUID(int=1)  # the topic's id


def named(
    offset: int,
    previous: int | None,
    rows: int = 1,
    is_last: bool = False,
    partition: int = 0,
    orders: tuple[int | None, int | None] = (1, 1),
) -> Occupied:
    log = "processed_events"
    return Occupied("orders", partition, TODAY, offset, rows, log, log, *orders, previous, is_last)


def account(occupied: list[Occupied], *committed: int) -> list[Finding | Gap | Before]:
    offsets = {("orders", partition, TODAY): offset for partition, offset in enumerate(committed)}
    return list(coordinates.account(occupied, offsets, {}))


@pytest.mark.parametrize(
    ("occupied", "committed", "gaps"),
    [
        ([named(0, None, is_last=True)], 1, []),
        ([named(0, None, is_last=True)], 3, [(1, 3)]),
        ([named(2, None, is_last=True)], 3, [(0, 2)]),
        ([named(2, None, is_last=True)], 1, [(0, 1)]),
        ([named(2, None, is_last=True)], 0, []),
        ([named(0, None), named(5, 3), named(9, 8, is_last=True)], 10, [(4, 5)]),
        ([named(0, None), named(5, 2), named(9, 6, is_last=True)], 8, [(3, 5), (7, 8)]),
        ([named(0, None), named(5, 2), named(9, 6, is_last=True)], 4, [(3, 4)]),
        ([named(0, None), named(5, 2), named(9, 6, is_last=True)], 3, []),
        ([], 0, []),
        ([], 4, [(0, 4)]),
    ],
)
def test_gaps_end_at_the_committed_offset(
    occupied: list[Occupied], committed: int, gaps: list[tuple[int, int]]
) -> None:
    assert account(occupied, committed) == [Gap("orders", 0, *gap) for gap in gaps]


def test_each_partition_has_gaps_of_its_own() -> None:
    occupied = [named(1, None, is_last=True), named(0, None, is_last=True, partition=2)]
    assert account(occupied, 2, 3, 2) == [
        Gap("orders", 0, 0, 1),
        Gap("orders", 2, 1, 2),
        Gap("orders", 1, 0, 3),
    ]


def test_after_a_takeover_only_what_lies_before_the_first_offset_is_no_gap() -> None:
    committed = {("orders", n, TODAY): end for n, end in enumerate((9, 4, 3))}
    occupied = [
        named(5, None),
        named(7, 5, is_last=True),
        named(7, None, partition=1, is_last=True),
    ]
    assert list(coordinates.account(occupied, committed, {}, is_taken_over=True)) == [
        Before(5),
        Gap("orders", 0, 6, 7),
        Gap("orders", 0, 8, 9),
        Before(4),
        Before(3),
    ]


def test_what_the_group_has_not_committed_is_no_gap() -> None:
    assert account([named(7, None), named(9, 7, is_last=True)]) == []


def test_coordinates_in_the_logs_twice_name_the_orders() -> None:
    (found,) = account([named(0, None, rows=2, is_last=True, orders=(1, 2))], 1)
    assert isinstance(found, Finding)
    assert (found.kind, found.coordinates) == ("coordinates_twice", ("orders", 0, 0))
    assert "orders 1 and 2" in found.detail


def test_a_replayed_letter_of_which_no_log_knows_is_one_finding_and_no_gap() -> None:
    found = account([named(0, None), named(1, 0, rows=0), named(2, 1, is_last=True)], 3)
    assert [f.kind for f in found if isinstance(f, Finding)] == ["replayed_nowhere"]
    assert len(found) == 1


def test_with_a_start_only_the_gaps_from_there_on_are_told() -> None:
    starts = {("orders", 0, TODAY): 5, ("orders", 1, TODAY): 5}
    committed = {("orders", 0, TODAY): 9, ("orders", 1, TODAY): 8, ("orders", 2, TODAY): 1}
    occupied = [named(7, None, is_last=True)]
    assert list(coordinates.account(occupied, committed, starts)) == [
        Gap("orders", 0, 5, 7),
        Gap("orders", 0, 8, 9),
        Gap("orders", 1, 5, 8),
        Gap("orders", 2, 0, 1),
    ]
