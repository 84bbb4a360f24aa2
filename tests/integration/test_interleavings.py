"""Every order of the steps of two or three workers on the same orders keeps the guarantee."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any, NamedTuple

import pytest
from interleaving import Part, Schedule, Session, Stage, schedules
from psycopg import Connection as AnyConnection
from pydantic import SecretStr
from records import at, record, value

from delivery.domain.event import Contract
from delivery.domain.record import Record
from delivery.errors import RaceError, UnavailableError
from delivery.inbox import transaction
from delivery.inbox.statements import Statements
from delivery.postgres import database
from delivery.postgres.database import Connection

CONTRACT = Contract()
RIGHT = timedelta(minutes=1)  # the workers' limits are of no interest here
Steps = tuple[str, ...]
EVERY_STEP: Steps = ("read", "read_clock", "write", "move", "commit")
READ_APART: Steps = ("read", "_read_inbox", "write", "commit")  # deliveries first, then the inbox
WITHOUT_CLOCK: Steps = ("read", "write", "commit")
READ_AT_ONCE: Steps = ("write", "move", "commit")  # all have read before anybody writes
ORDERS = 10  # ids that a run may use
OFFSETS = 100

Accident = Callable[[Connection], object]

LOG = """
SELECT order_id, event_time, outcome, record_partition, record_offset, consumed_at
FROM processed_events WHERE order_id BETWEEN %s AND %s
ORDER BY consumed_at, record_topic, record_partition, record_offset
"""
DUPLICATES = """
SELECT order_id, event_time, payload_differs, record_partition, record_offset, consumed_at
FROM duplicate_events WHERE order_id BETWEEN %s AND %s
"""
DELIVERIES = """
SELECT order_id, event_time, quantity, status FROM deliveries WHERE order_id BETWEEN %s AND %s
"""


class Said(NamedTuple):
    """A record that a worker reads, small numbers for all: order 1, minute 0 and so on."""

    partition: int
    offset: int
    order: int
    minute: int
    quantity: int = 1

    def record(self, run: int) -> Record:
        """The record, in a run that shares neither orders nor offsets with the other runs."""
        content = value(run * ORDERS + self.order, self.minute, quantity=self.quantity)
        return record(run * OFFSETS + self.offset, content, self.partition)


@dataclass
class Case:
    """What is there before, and what each session reads at the same time."""

    sessions: dict[str, list[Said]]
    before: list[Said] = field(default_factory=list)
    moved: int | None = None  # the order whose status another service changes meanwhile
    steps: Steps = EVERY_STEP

    def said(self) -> dict[tuple[int, int], Said]:
        """All records, by their coordinates."""
        everything = [*self.before, *(said for batch in self.sessions.values() for said in batch)]
        return {(said.partition, said.offset): said for said in everything}


class Play:
    """Runs a case in every order of its steps, on connections that all runs share."""

    def __init__(self, stage: Stage, url: SecretStr, observer: Connection) -> None:
        self.stage, self.url, self.observer = stage, url, observer
        self.runs = count(1)
        self.accidents: dict[tuple[str, str], Accident] = {}
        self.due: dict[tuple[str, str], Accident] = {}
        self.races: list[str] = []
        self.by_row = False
        self.interleavings = 0
        self._workers: dict[str, database.Session] = {}

    def in_every_order(self, case: Case) -> None:
        """Asserts the guarantee after each interleaving."""
        for schedule in schedules():
            run = next(self.runs)
            self._prepare(case, run)
            self._perform(case, run, schedule)
            assert_guaranteed(self, case, run)
            self.interleavings += 1

    def _prepare(self, case: Case, run: int) -> None:
        self.stage.known = case.steps
        self.due = dict(self.accidents)
        for said in case.before:
            transaction.process(self.observer, CONTRACT, [said.record(run)])

    def _perform(self, case: Case, run: int, schedule: Schedule) -> None:
        parts: dict[str, Part] = {}
        for number, (name, batch) in enumerate(case.sessions.items(), 1):
            worker = self._worker(name, number)
            parts[name] = self._consuming(worker, [said.record(run) for said in batch])
        if case.moved is not None:
            parts["other service"] = self._moving(run * ORDERS + case.moved)
        tallies = self.stage.perform(schedule, parts)
        for name, batch in case.sessions.items():
            tally = tallies[name]
            assert isinstance(tally, Counter)
            assert tally.total() == len(batch)

    def _worker(self, name: str, number: int) -> database.Session:
        if name not in self._workers:
            worker = self._workers[name] = database.Session(self.url, RIGHT)
            worker.connection().execute("SET deadlock_timeout = '10ms'")
            if self.by_row:
                self.stage.step_by_row(worker.connection(), number)
        return self._workers[name]

    def _consuming(self, worker: database.Session, batch: Sequence[Record]) -> Part:
        """What `worker.run` does with a batch."""

        def consume(session: Session) -> Counter[str]:
            while True:
                try:
                    connection = worker.connection()
                    session.pid = connection.info.backend_pid
                    return transaction.process(connection, CONTRACT, batch)
                except UnavailableError:
                    worker.drop()

        return consume

    def _moving(self, order_id: int) -> Part:
        """What another service does to a delivery."""
        worker = self._worker("other service", 9)

        def move(session: Session) -> None:
            connection = worker.connection()
            session.pid = connection.info.backend_pid
            self.stage.pause("move")
            with connection.transaction():
                connection.execute(
                    "UPDATE deliveries SET status = 'dispatched' WHERE order_id = %s", (order_id,)
                )
                self.stage.pause("commit")

        return move

    @contextmanager
    def transaction(self, connection: AnyConnection[Any]) -> Iterator[None]:
        """In place of `database.transaction`: the same, with a step at its end and accidents."""
        try:
            with database.transaction(connection):
                yield
                self.stage.pause("commit")
                self._happen("before commit", connection)
        except RaceError as error:
            self.races.append(str(error))
            raise
        self._happen("after commit", connection)

    def _happen(self, when: str, connection: Connection) -> None:
        acting = [s.name for s in self.stage.sessions.values() if s.pid == _pid(connection)]
        accident = self.due.pop((acting[0], when), None) if acting else None
        if accident is not None:
            accident(connection)

    def close(self) -> None:
        for worker in self._workers.values():
            worker.drop()


def _pid(connection: Connection) -> int:
    return connection.info.backend_pid


def roll_back(connection: Connection) -> None:
    """The worker gives up, for whatever reason."""
    raise UnavailableError("an accident")


def die(connection: Connection) -> None:
    """The session's server process is ended."""
    connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")


@pytest.fixture
def play(
    connection: Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Play]:
    play = Play(Stage(connection), SecretStr(database_url), connection)
    monkeypatch.setattr(transaction, "transaction", play.transaction)
    for step in ("read", "_read_inbox", "read_clock", "write"):
        monkeypatch.setattr(Statements, step, _stepped(play.stage, step, getattr(Statements, step)))
    yield play
    play.close()


def _stepped(stage: Stage, step: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def stepped(*arguments: Any) -> Any:
        stage.pause(step)
        return original(*arguments)

    return stepped


# What must be true after each interleaving


def assert_guaranteed(play: Play, case: Case, run: int) -> None:
    connection, of_run = play.observer, (run * ORDERS, run * ORDERS + ORDERS - 1)
    log = connection.execute(LOG, of_run).fetchall()
    duplicates = connection.execute(DUPLICATES, of_run).fetchall()
    said = {
        (partition, run * OFFSETS + offset): said
        for (partition, offset), said in case.said().items()
    }
    places = [tuple(row[3:5]) for row in (*log, *duplicates)]
    assert sorted(places) == sorted(said), "each record is accounted for exactly once"
    assert len({row[:2] for row in log}) == len(log), "keys are unique"
    assert_duplicates_are_behind_their_events(log, duplicates, said)
    assert_deliveries_are_the_fold(play, case, run, log, said)


def assert_duplicates_are_behind_their_events(
    log: Sequence[Any], duplicates: Sequence[Any], said: Mapping[tuple[int, int], Said]
) -> None:
    events = {row[:2]: row for row in log}
    for order_id, event_time, differs, *place, consumed_at in duplicates:
        event = events[order_id, event_time]
        quantities = {said[place[0], place[1]].quantity, said[event[3], event[4]].quantity}
        assert differs == (len(quantities) == 2)
        assert consumed_at >= event[5]


def assert_deliveries_are_the_fold(
    play: Play, case: Case, run: int, log: Sequence[Any], said: Mapping[tuple[int, int], Said]
) -> None:
    """The log in its own order says each outcome, and the deliveries."""
    shaped: dict[int, tuple[datetime, int]] = {}
    for order_id, event_time, outcome, *place, _ in log:
        newer = order_id not in shaped or event_time > shaped[order_id][0]
        possible = "stale" if not newer else "updated" if order_id in shaped else "created"
        if outcome == "too_late":
            assert was_moved_before(play, run, case, order_id, (place[0], place[1]))
            assert possible == "updated"
            continue
        assert outcome == possible
        if newer:
            shaped[order_id] = event_time, said[place[0], place[1]].quantity
    rows = play.observer.execute(DELIVERIES, (run * ORDERS, run * ORDERS + ORDERS - 1)).fetchall()
    assert {row[0]: row[1:3] for row in rows} == shaped
    if case.moved is None:
        assert {row[0]: row[1] for row in rows} == newest(run, said)
    else:
        assert_moved(play, run, case, log, rows)


def newest(run: int, said: Mapping[tuple[int, int], Said]) -> dict[int, datetime]:
    """The maximum event time of each order."""
    times: dict[int, datetime] = {}
    for one in sorted(said.values(), key=lambda one: one.minute):
        times[run * ORDERS + one.order] = at(one.minute)
    return times


def assert_moved(
    play: Play, run: int, case: Case, log: Sequence[Any], deliveries: Sequence[Any]
) -> None:
    """The other service's change stays, and an update came before it or not at all."""
    moved = run * ORDERS + (case.moved or 0)
    assert [row[3] for row in deliveries if row[0] == moved] == ["dispatched"]
    for order_id, _, outcome, *place, _ in log:
        if order_id == moved and outcome == "updated":
            assert not was_moved_before(play, run, case, order_id, (place[0], place[1]), "commit")


def was_moved_before(
    play: Play, run: int, case: Case, order_id: int, place: tuple[int, int], step: str = "read"
) -> bool:
    """Whether the other service had committed when the worker took this step for the last time."""
    if case.moved is None or order_id != run * ORDERS + case.moved:
        return False
    where = (place[0], place[1] - run * OFFSETS)
    (reader,) = (
        name
        for name, batch in case.sessions.items()
        if where in {(one.partition, one.offset) for one in batch}
    )
    steps = play.stage.steps
    last = max(number for number, taken in enumerate(steps) if taken == (reader, step))
    return ("other service", "commit") in steps[:last]


# Cases. Said(partition, offset, order, minute, quantity)

FIRST = Said(0, 0, 1, 0)
AGAIN = Said(1, 1, 1, 0)  # the same event at other coordinates

TWO_WORKERS = {
    "a republication": Case({"a": [FIRST], "b": [AGAIN]}),
    "another payload under the same key": Case({"a": [FIRST], "b": [AGAIN._replace(quantity=2)]}),
    "a redelivery and a republication": Case({"a": [FIRST], "b": [AGAIN]}, before=[FIRST]),
    "a redelivery to a worker that took over": Case({"a": [FIRST], "b": [FIRST]}),
    "a new order with two event times": Case({"a": [FIRST], "b": [Said(1, 1, 1, 1, 2)]}),
    "an update and an update": Case(
        {"a": [Said(0, 1, 1, 1, 2)], "b": [Said(1, 1, 1, 2, 3)]}, before=[FIRST]
    ),
    "an update and the same update": Case(
        {"a": [Said(0, 1, 1, 1)], "b": [Said(1, 1, 1, 1)]}, before=[FIRST]
    ),
    "an update and an older event": Case(
        {"a": [Said(0, 2, 1, 2, 2)], "b": [Said(1, 1, 1, 1, 3)]}, before=[FIRST]
    ),
    "an older event and the same older event": Case(
        {"a": [Said(0, 1, 1, 1)], "b": [Said(1, 1, 1, 1)]}, before=[Said(0, 0, 1, 2)]
    ),
    "several orders of both, one the other way round": Case(
        {
            "a": [Said(0, 1, 1, 1), Said(0, 2, 2, 0), Said(0, 3, 3, 0)],
            "b": [Said(1, 1, 3, 1), Said(1, 2, 2, 1), Said(1, 3, 1, 2)],
        },
        before=[FIRST],
    ),
}


@pytest.mark.parametrize("case", TWO_WORKERS.values(), ids=TWO_WORKERS.keys())
def test_two_workers(play: Play, case: Case) -> None:
    play.in_every_order(case)
    assert play.interleavings > 20
    assert not deadlocks(play)


@pytest.mark.parametrize("name", [name for name, case in TWO_WORKERS.items() if case.before])
def test_two_workers_one_of_which_commits_between_the_reads_of_the_other(
    play: Play, name: str
) -> None:
    play.in_every_order(replace(TWO_WORKERS[name], steps=READ_APART))
    assert play.interleavings > 20


def test_an_update_while_another_service_moves_the_status(play: Play) -> None:
    play.in_every_order(Case({"a": [Said(0, 1, 1, 1, 2)]}, before=[FIRST], moved=1))
    assert play.interleavings >= 10


def test_two_updates_while_another_service_moves_the_status(play: Play) -> None:
    updates = {"a": [Said(0, 1, 1, 1, 2)], "b": [Said(1, 1, 1, 2, 3)]}
    play.in_every_order(Case(updates, before=[FIRST], moved=1, steps=READ_AT_ONCE))
    assert play.interleavings > 40


def test_disjoint_orders_in_opposite_order_never_meet(play: Play) -> None:
    a, b = [Said(0, 1, 3, 0), Said(0, 2, 1, 0)], [Said(1, 1, 2, 0), Said(1, 2, 4, 0)]
    play.in_every_order(Case({"a": a, "b": b}))
    assert play.interleavings == 70  # 8! / (4! 4!)
    assert not play.races


ACCIDENTS = {
    "one gives up before its commit": ("before commit", roll_back, WITHOUT_CLOCK),
    "the connection of one dies before its commit": ("before commit", die, WITHOUT_CLOCK),
    "one never hears that its commit was done": ("after commit", roll_back, READ_AT_ONCE),
}


@pytest.mark.parametrize(("when", "accident", "steps"), ACCIDENTS.values(), ids=ACCIDENTS.keys())
@pytest.mark.parametrize("name", ["a republication", "an update and an update"])
def test_two_workers_with_an_accident(
    play: Play, name: str, when: str, accident: Accident, steps: Steps
) -> None:
    play.accidents = {("a", when): accident}
    play.in_every_order(replace(TWO_WORKERS[name], steps=steps))
    assert not play.due


def test_a_frozen_worker_its_successor_and_a_republication(play: Play) -> None:
    play.in_every_order(Case({"a": [FIRST], "b": [FIRST], "c": [AGAIN]}, steps=READ_AT_ONCE))
    assert not deadlocks(play)


# Each row that is written is a step: without the order of keys these would be deadlocks.

OPPOSITE = {
    "new orders": (
        "deliveries",
        Case(
            {"a": [Said(0, 1, 1, 0), Said(0, 2, 2, 0)], "b": [Said(1, 1, 2, 1), Said(1, 2, 1, 1)]}
        ),
    ),
    "the same new keys": (
        "processed_events",
        Case(
            {"a": [Said(0, 1, 1, 0), Said(0, 2, 2, 0)], "b": [Said(1, 1, 2, 0), Said(1, 2, 1, 0)]}
        ),
    ),
    "updates": (
        "deliveries",
        Case(
            {"a": [Said(0, 2, 1, 1), Said(0, 3, 2, 1)], "b": [Said(1, 2, 2, 2), Said(1, 3, 1, 2)]},
            before=[FIRST, Said(0, 1, 2, 0)],
        ),
    ),
}


@pytest.mark.parametrize(("table", "case"), OPPOSITE.values(), ids=OPPOSITE.keys())
def test_orders_that_arrive_in_opposite_order_cause_no_deadlock(
    play: Play, table: str, case: Case
) -> None:
    play.by_row = True
    play.stage.steps_for_rows(table)
    play.in_every_order(replace(case, steps=READ_AT_ONCE))
    assert play.races
    assert not deadlocks(play)


def deadlocks(play: Play) -> list[str]:
    return [race for race in play.races if "40P01" in race]
