"""What becomes of each event: README's table of outcomes as cases, and against a naive model.

In the cases an arrival is written `A 5 x`: the record at place A brings an event of minute 5 with
payload x. A list is a batch, a bare word a status that a dispatcher sets in between.
"""

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from uuid import UUID

import model
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory import Tables

from delivery.domain.decide import Change, Decision, Delivery, Duplicate, Logged, State, decide
from delivery.domain.event import DELIVERY_COLUMNS, OrderCreated
from delivery.domain.record import UNKNOWN_TOPIC_ID, Record

Arrival = tuple[Record, OrderCreated]

PAYLOADS = {
    "x": '{"quantity":1,"note":"문"}'.encode(),
    "reordered": b'{"note": "\\ubb38", "quantity": 1}',
    "y": '{"quantity":2,"note":"문"}'.encode(),
}


def minute(number: int) -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number)


def event(number: int, payload: str = "x", order_id: int = 1) -> OrderCreated:
    quantity = 2 if payload == "y" else 1
    fields = {"order_id": order_id, "quantity": quantity, "event_time": minute(number)}
    return OrderCreated(**dict.fromkeys(DELIVERY_COLUMNS) | fields, payload=PAYLOADS[payload])


def record(partition: int, offset: int) -> Record:
    return Record("orders", partition, offset, None, None, None, ())


def arrival(text: str) -> Arrival:
    place, number, payload = text.split()
    return record(0, ord(place)), event(int(number), payload)


def outcomes(decision: Decision, arrivals: list[Arrival]) -> list[str]:
    """The outcome of each arrival; a record without a row was delivered again."""
    found = {id(record): str(outcome) for record, _, outcome in decision.entries}
    for duplicate in decision.duplicates:
        found[id(duplicate.record)] = "conflict" if duplicate.payload_differs else "duplicate"
    return [found.get(id(record), "redelivery") for record, _ in arrivals]


def process(tables: Tables, arrivals: list[Arrival]) -> list[str]:
    """Decides a batch from what the tables hold, and writes its rows."""
    decision = decide(tables.read([event for _, event in arrivals]), arrivals)
    tables.write(decision)
    return outcomes(decision, arrivals)


@pytest.mark.parametrize(
    ("steps", "expected", "shaped_by"),
    [
        pytest.param([["A 1 x"]], "created", "1 x", id="the first event of an order"),
        pytest.param(
            [["A 1 x", "B 2 y"]], "created updated", "2 y", id="newer after older, one batch"
        ),
        pytest.param(
            [["A 1 x"], ["B 2 y"]], "created updated", "2 y", id="newer after older, two batches"
        ),
        pytest.param(
            [["A 2 x", "B 1 y"]], "created stale", "2 x", id="older after newer, one batch"
        ),
        pytest.param(
            [["A 2 x"], ["B 1 y"]], "created stale", "2 x", id="older after newer, two batches"
        ),
        pytest.param(
            [["A 1 x"], ["B 2 x", "C 3 y"]],
            "created updated updated",
            "3 y",
            id="two updates in one batch",
        ),
        pytest.param(
            [["A 1 x"], ["B 3 x", "C 2 y"]],
            "created updated stale",
            "3 x",
            id="between the delivery's time and an update of the batch",
        ),
        pytest.param(
            [["A 1 x"], "dispatched", ["B 2 y"]],
            "created too_late",
            "1 x",
            id="newer, but dispatched",
        ),
        pytest.param(
            [["A 1 x"], "delivered", ["B 2 y"]], "created too_late", "1 x", id="but delivered"
        ),
        pytest.param(
            [["A 1 x"], "cancelled", ["B 2 y"]], "created too_late", "1 x", id="but cancelled"
        ),
        pytest.param(
            [["A 2 x"], "dispatched", ["B 1 y"]],
            "created stale",
            "2 x",
            id="older, and dispatched",
        ),
        pytest.param(
            [["A 1 x"], "dispatched", ["B 3 y", "C 2 y"]],
            "created too_late too_late",
            "1 x",
            id="too late does not move the delivery's time",
        ),
        pytest.param(
            [["A 1 x"], "dispatched", ["B 2 y"], "pending", ["C 3 y"]],
            "created too_late updated",
            "3 y",
            id="pending again",
        ),
        pytest.param(
            [["A 1 x", "B 1 x"]], "created duplicate", "1 x", id="the same event, one batch"
        ),
        pytest.param(
            [["A 1 x"], ["B 1 x"]], "created duplicate", "1 x", id="the same event, two batches"
        ),
        pytest.param(
            [["A 1 x"], ["B 1 reordered"]],
            "created duplicate",
            "1 x",
            id="keys reordered, spaces, escapes",
        ),
        pytest.param(
            [["A 1 x", "B 1 y"]], "created conflict", "1 x", id="other content, one batch"
        ),
        pytest.param(
            [["A 1 x"], ["B 1 y"]], "created conflict", "1 x", id="other content, two batches"
        ),
        pytest.param(
            [["A 1 x", "B 1 y", "C 1 y"]],
            "created conflict conflict",
            "1 x",
            id="a conflict is compared with the event in the log",
        ),
        pytest.param(
            [["A 2 x", "B 1 y"], ["C 1 y"]],
            "created stale duplicate",
            "2 x",
            id="the duplicate of a stale event",
        ),
        pytest.param(
            [["A 1 x"], "dispatched", ["B 2 y", "C 2 y"]],
            "created too_late duplicate",
            "1 x",
            id="the duplicate of an event that was too late",
        ),
        pytest.param(
            [["A 1 x"], ["A 1 x"]], "created redelivery", "1 x", id="the same record, two batches"
        ),
        pytest.param(
            [["A 1 x", "A 1 x"]], "created redelivery", "1 x", id="the same record, one batch"
        ),
        pytest.param(
            [["A 1 x", "B 2 y"], "dispatched", ["A 1 x", "B 2 y"]],
            "created updated redelivery redelivery",
            "2 y",
            id="delivered again after the dispatcher",
        ),
        pytest.param(
            [["A 1 x"], ["B 1 x"], ["A 1 x", "B 1 x"]],
            "created duplicate redelivery duplicate",
            "1 x",
            id="a duplicate delivered again is the same duplicate",
        ),
        pytest.param(
            [["A 1 x"], ["A 1 x", "B 2 y", "C 2 y", "D 0 x"]],
            "created redelivery updated duplicate stale",
            "2 y",
            id="half a batch again, then new ones",
        ),
    ],
)
def test_an_order_goes_its_way(steps: list[list[str] | str], expected: str, shaped_by: str) -> None:
    tables, found = Tables(), []
    for step in steps:
        if isinstance(step, str):
            tables.move(1, step)
        else:
            found += process(tables, [arrival(text) for text in step])
    assert found == expected.split()
    number, payload = shaped_by.split()
    assert tables.deliveries[1].event == event(int(number), payload)


BEFORE = State(
    {1: Delivery(minute(1), "pending")},
    {(1, minute(1)): Logged(("orders", 0, 0), UNKNOWN_TOPIC_ID, PAYLOADS["x"])},
)


def test_of_two_events_of_a_new_order_the_insert_takes_the_newer_fields() -> None:
    decision = decide(State(), [(record(0, 1), event(1)), (record(0, 2), event(2, "y"))])
    assert decision.created == {1: event(2, "y")}
    assert decision.changed == {}


def test_two_updates_are_one_from_the_time_that_was_read_to_the_last_event() -> None:
    decision = decide(BEFORE, [(record(0, 1), event(2)), (record(0, 2), event(3, "y"))])
    assert decision.created == {}
    assert decision.changed == {1: Change(event(3, "y"), read_event_time=minute(1))}


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_dispatched_delivery_is_never_written(number: int) -> None:
    state = State({1: Delivery(minute(1), "dispatched")}, BEFORE.inbox)
    decision = decide(state, [(record(0, 1), event(number, "y"))])
    assert (decision.created, decision.changed) == ({}, {})


def test_an_event_as_old_as_the_delivery_is_stale_even_if_the_log_lost_it() -> None:
    arrivals = [(record(0, 1), event(1))]
    assert outcomes(decide(State(BEFORE.deliveries), arrivals), arrivals) == ["stale"]


def test_only_a_record_at_the_same_place_is_a_redelivery() -> None:
    elsewhere = [record(0, 1), record(1, 0), record(0, 0)._replace(topic="other")]
    decision = decide(BEFORE, [(place, event(1)) for place in elsewhere])
    assert decision.duplicates == [Duplicate(place, event(1), False) for place in elsewhere]


OURS, OTHER = UUID(int=1), UUID(int=2)


@pytest.mark.parametrize(
    ("logged", "arrived", "is_redelivered"),
    [
        (OURS, OURS, True),
        # Rows of a version that knew no ids, and brokers that tell none.
        (UNKNOWN_TOPIC_ID, OURS, True),
        (OURS, UNKNOWN_TOPIC_ID, True),
        # The topic was deleted and made anew under its name.
        (OTHER, OURS, False),
    ],
)
def test_the_same_coordinates_in_another_topic_of_that_name_are_no_redelivery(
    logged: UUID, arrived: UUID, is_redelivered: bool
) -> None:
    inbox = {(1, minute(1)): Logged(("orders", 0, 0), logged, PAYLOADS["x"])}
    again = record(0, 0)._replace(topic_id=arrived)
    decision = decide(State(BEFORE.deliveries, inbox), [(again, event(1))])
    assert decision.duplicates == ([] if is_redelivered else [Duplicate(again, event(1), False)])


def test_an_event_whose_payload_was_erased_has_redeliveries_and_duplicates_but_no_conflict() -> (
    None
):
    inbox = {(1, minute(1)): Logged(("orders", 0, 0), UNKNOWN_TOPIC_ID, None)}
    arrivals = [(record(0, 0), event(1)), (record(0, 1), event(1)), (record(0, 2), event(1, "y"))]
    decision = decide(State(BEFORE.deliveries, inbox), arrivals)
    assert decision.duplicates == [Duplicate(*arrival, False) for arrival in arrivals[1:]]
    assert decision.entries == []


def test_orders_do_not_touch_each_other() -> None:
    arrivals = [(record(0, 1), event(1, order_id=2)), (record(0, 2), event(2, order_id=1))]
    assert outcomes(decide(BEFORE, arrivals), arrivals) == ["created", "updated"]


def test_the_state_that_was_read_is_left_as_it_was() -> None:
    state = deepcopy(BEFORE)
    decide(state, [(record(0, 1), event(2, "y")), (record(0, 2), event(1, order_id=2))])
    assert state == BEFORE


def test_nothing_arrives_and_nothing_is_written() -> None:
    assert decide(State(), []) == Decision()


Step = Arrival | tuple[int, str] | None  # an arrival, a dispatcher's move, the end of a batch


@st.composite
def histories(draw: st.DrawFn) -> list[Step]:
    """Records of several partitions, some delivered again, cut into batches anywhere."""
    steps: list[Step] = []
    arrived: list[Arrival] = []
    events = st.builds(
        event, st.integers(1, 4), st.sampled_from(sorted(PAYLOADS)), st.integers(1, 3)
    )
    for kind in draw(st.lists(st.sampled_from(["new"] * 6 + ["again", "move", "cut", "cut"]))):
        if kind == "new":
            arrived.append((record(draw(st.integers(0, 2)), len(arrived)), draw(events)))
            steps.append(arrived[-1])
        elif kind == "again" and arrived:
            old, same = draw(st.sampled_from(arrived))
            steps.append((old._replace(), same))
        elif kind == "move":
            statuses = st.sampled_from(["dispatched", "delivered", "cancelled", "pending"])
            steps.append((draw(st.integers(1, 3)), draw(statuses)))
        else:
            steps.append(None)
    return steps


def in_batches(steps: list[Step]) -> tuple[Tables, list[str]]:
    """Processes batch by batch; a dispatcher's move comes between two of them."""
    tables, found, batch = Tables(), [], list[Arrival]()
    for step in [*steps, None]:
        if step and isinstance(step[0], Record):
            batch.append(step)
            continue
        found += process(tables, batch)
        batch = []
        if step:
            tables.move(*step)
    return tables, found


def one_by_one(steps: list[Step]) -> tuple[Tables, list[str]]:
    tables, found = Tables(), []
    for step in steps:
        if step and isinstance(step[0], Record):
            found.append(model.receive(tables, *step))
        elif step:
            tables.move(*step)
    return tables, found


@given(histories())
@settings(max_examples=500, deadline=None)
def test_however_events_are_cut_into_batches_each_has_the_models_outcome(steps: list[Step]) -> None:
    tables, found = in_batches(steps)
    expected_tables, expected = one_by_one(steps)
    assert found == expected
    assert tables == expected_tables
    assert list(tables.log) == list(expected_tables.log)


@given(histories(), st.integers(1, 5))
@settings(max_examples=200, deadline=None)
def test_replaying_everything_changes_nothing(steps: list[Step], size: int) -> None:
    tables, _ = in_batches(steps)
    before = deepcopy(tables)
    arrivals = [step for step in steps if step and isinstance(step[0], Record)]
    for start in range(0, len(arrivals), size):
        found = process(tables, arrivals[start : start + size])
        assert set(found) <= {"redelivery", "duplicate", "conflict"}
    assert tables == before


@given(histories())
@settings(max_examples=200, deadline=None)
def test_deliveries_are_the_fold_of_the_log(steps: list[Step]) -> None:
    tables, _ = in_batches(steps)
    shaped_by = {order_id: row.event for order_id, row in tables.deliveries.items()}
    assert shaped_by == model.fold(tables)
