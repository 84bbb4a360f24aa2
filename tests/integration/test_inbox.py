"""The transaction on a real PostgreSQL: what a batch writes, and that it writes all or nothing."""

import json
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg import sql
from pydantic import SecretStr
from records import RECEIVED, TOPIC, at, batch, value

from delivery.domain.decide import Decision
from delivery.domain.event import DELIVERY_COLUMNS, Contract
from delivery.domain.record import Record
from delivery.errors import NotMigratedError, RaceError, UnavailableError
from delivery.inbox import transaction
from delivery.inbox.statements import Statements
from delivery.postgres import database
from delivery.postgres.database import Connection, Session

Contents = Callable[[], dict[str, list[str]]]
Hook = Callable[[Callable[[], object]], None]

CONTRACT = Contract()

ENTRIES = """
SELECT order_id, event_time, outcome, record_partition, record_offset
FROM processed_events ORDER BY record_partition, record_offset
"""
DELIVERIES = "SELECT order_id, status, event_time FROM deliveries ORDER BY order_id"
DUPLICATES = """
SELECT record_partition, record_offset, order_id, event_time, payload_differs, payload::text
FROM duplicate_events ORDER BY record_partition, record_offset
"""
# Everything that is not a clock's or a sequence's.
TIMELESS = {
    "processed_events": "order_id, event_time, outcome, payload::text, record_topic, "
    "record_partition, record_offset, record_time",
    "deliveries": f"status, {', '.join(DELIVERY_COLUMNS)}",
    "duplicate_events": "record_topic, record_partition, record_offset, record_time, order_id, "
    "event_time, payload_differs, payload::text",
    "dead_letters": "record_topic, record_partition, record_offset, record_time, record_key, "
    "record_value, record_headers::text, reason, error, order_id, resolution",
}


def process(connection: Connection, *contents: bytes | None, **where: int) -> dict[str, int]:
    """Processes a batch and returns the outcomes that occurred in it."""
    return +transaction.process(connection, CONTRACT, batch(*contents, **where))


def timeless(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
    return {
        table: sorted(connection.execute(f"SELECT {columns} FROM {table}").fetchall(), key=repr)
        for table, columns in TIMELESS.items()
    }


def entries(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.execute(ENTRIES).fetchall()


def deliveries(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.execute(DELIVERIES).fetchall()


def move(connection: Connection, order_id: int, status: str) -> None:
    """What a dispatcher does."""
    connection.execute("UPDATE deliveries SET status = %s WHERE order_id = %s", (status, order_id))


@pytest.fixture
def rival(database_url: str) -> Iterator[Connection]:
    """A second connection to the same database."""
    with database.connect(SecretStr(database_url), "rival") as connection:
        yield connection


@pytest.fixture
def before_write(monkeypatch: pytest.MonkeyPatch) -> Hook:
    """Runs something once, between the next transaction's read and its write."""
    return _hook(monkeypatch, "write")


@pytest.fixture
def before_read(monkeypatch: pytest.MonkeyPatch) -> Hook:
    """Runs something once, when the next transaction has begun and has not read the state yet."""
    return _hook(monkeypatch, "read")


def _hook(monkeypatch: pytest.MonkeyPatch, name: str) -> Hook:
    original: Callable[..., Any] = getattr(Statements, name)
    waiting: list[Callable[[], object]] = []

    def hooked(*arguments: Any) -> Any:
        if waiting:
            waiting.pop()()
        return original(*arguments)

    monkeypatch.setattr(Statements, name, hooked)
    return waiting.append


# What is written


def test_each_outcome_is_kept_with_the_coordinates_of_its_record(connection: Connection) -> None:
    process(connection, value(1, 5), value(2, 5))
    move(connection, 2, "dispatched")
    events = [value(3), value(1, 6), value(1, 4), value(2, 6), value(2, 4)]
    assert process(connection, *events, first=7, partition=3) == {
        "created": 1,
        "updated": 1,
        "too_late": 1,
        "stale": 2,
    }
    assert entries(connection) == [
        (1, at(5), "created", 0, 0),
        (2, at(5), "created", 0, 1),
        (3, at(0), "created", 3, 7),
        (1, at(6), "updated", 3, 8),
        (1, at(4), "stale", 3, 9),
        (2, at(6), "too_late", 3, 10),
        (2, at(4), "stale", 3, 11),
    ]
    assert deliveries(connection) == [
        (1, "pending", at(6)),
        (2, "dispatched", at(5)),
        (3, "pending", at(0)),
    ]
    places = connection.execute("SELECT DISTINCT record_topic, record_time FROM processed_events")
    assert places.fetchall() == [(TOPIC, RECEIVED)]


def test_a_duplicate_is_kept_with_its_own_coordinates_and_a_conflict_with_its_payload(
    connection: Connection,
) -> None:
    first, other = value(1, quantity=1), value(1, quantity=2)
    process(connection, first)
    respelled = json.dumps(json.loads(first), indent=2).encode()
    assert process(connection, first, respelled, other, first=5) == {"duplicate": 2, "conflict": 1}
    assert connection.execute(DUPLICATES).fetchall() == [
        (0, 5, 1, at(0), False, None),
        (0, 6, 1, at(0), False, None),
        (0, 7, 1, at(0), True, other.decode()),
    ]
    assert entries(connection) == [(1, at(0), "created", 0, 0)]
    quantity = connection.execute("SELECT quantity FROM deliveries").fetchall()
    assert quantity == [(1,)]


def test_duplicates_and_conflicts_within_one_batch_are_recognised_too(
    connection: Connection,
) -> None:
    outcomes = process(connection, value(1), value(1), value(1, quantity=2))
    assert outcomes == {"created": 1, "duplicate": 1, "conflict": 1}
    differ = connection.execute("SELECT payload_differs FROM duplicate_events ORDER BY 1")
    assert differ.fetchall() == [(False,), (True,)]


FULL: dict[str, Any] = {
    "productId": 2**63 - 1,
    "quantity": -(2**31),
    "orderedBy": 3,
    "supplyCompanyId": 4,
    "consumeCompanyId": 5,
    "requestMessage": "문 앞에 놓아 주세요\n\t'\\x",
    "deliveryLimitedAt": [2026, 12, 24, 18, 30, 0, 123456789],
}
COLUMNS = f"SELECT {', '.join(DELIVERY_COLUMNS[1:])}, status FROM deliveries"
LIMIT = datetime(2026, 12, 24, 18, 30, 0, 123456, UTC)


def test_a_delivery_has_the_fields_of_its_event(connection: Connection) -> None:
    process(connection, value(1, **FULL))
    row = (2**63 - 1, -(2**31), 3, 4, 5, FULL["requestMessage"], LIMIT, at(0), "pending")
    assert connection.execute(COLUMNS).fetchall() == [row]


@pytest.mark.parametrize("split", [True, False])
def test_a_newer_event_replaces_all_fields_also_with_nothing(
    connection: Connection, split: bool
) -> None:
    if split:
        process(connection, value(1, 0, **FULL))
        process(connection, value(1, 1), first=1)
    else:
        process(connection, value(1, 0, **FULL), value(1, 1))
    assert connection.execute(COLUMNS).fetchall() == [(*[None] * len(FULL), at(1), "pending")]


def test_an_update_keeps_created_at_and_moves_updated_at(connection: Connection) -> None:
    clocks = "SELECT created_at, updated_at FROM deliveries"
    process(connection, value(1, 0))
    ((created, updated),) = connection.execute(clocks).fetchall()
    assert created == updated
    process(connection, value(1, 1), first=1)
    ((still_created, later),) = connection.execute(clocks).fetchall()
    assert still_created == created
    assert later > updated


def test_a_payload_is_kept_byte_for_byte(connection: Connection) -> None:
    sent = (
        '{ "createdAt":\t[2026,1,1,0,0],\r\n "z": "\\u0000\\ud83d\\ude00é", "a": 1.00,'
        ' "a": 1e5, "event": {"orderId" :1, "b": [ ] , "a": "\\/"} } '
    ).encode()
    process(connection, sent, sent.replace(b"1.00", b"2.00").replace(b"1e5", b"2e5"))
    payloads = [connection.execute(f"SELECT payload::text FROM {t}").fetchone() for t in TWO_LOGS]
    assert payloads == [
        (sent.decode(),),
        (sent.decode().replace("1.00", "2.00").replace("1e5", "2e5"),),
    ]


TWO_LOGS = ("processed_events", "duplicate_events")


# Again, and in other pieces

MIXED = [
    value(1, 5),
    value(2, 5),
    b"no JSON",
    value(1, 5),
    value(1, 7, quantity=1),
    value(3, 5),
    value(1, 6),
    None,
    value(2, 5, quantity=2),
    value(3, 9),
    value(3, 9),
    value(1, 8),
    value(2, 1),
]


def test_a_batch_processed_twice_changes_no_row(connection: Connection, contents: Contents) -> None:
    first = process(connection, *MIXED)
    assert first == {
        "created": 3,
        "updated": 3,
        "stale": 2,
        "duplicate": 2,
        "conflict": 1,
        "rejected": 2,
    }
    before = contents()
    assert process(connection, *MIXED) == {"redelivered": len(MIXED)}
    assert contents() == before


def test_a_batch_processed_again_in_part_and_in_other_company_changes_only_what_is_new(
    connection: Connection, contents: Contents
) -> None:
    process(connection, *MIXED[:8])
    before = contents()
    process(connection, *MIXED[3:], first=3)
    after = contents()
    assert all(set(before[name]) <= set(after[name]) for name in TWO_LOGS)
    assert set(before["dead_letters"]) <= set(after["dead_letters"])


def test_a_batch_split_anywhere_gives_the_same_rows(connection: Connection) -> None:
    def rows_after(*batches: list[Record]) -> dict[str, list[tuple[Any, ...]]]:
        with connection.transaction(force_rollback=True):
            for each in batches:
                transaction.process(connection, CONTRACT, each)
            return timeless(connection)

    whole = batch(*MIXED)
    expected = rows_after(whole)
    assert len(expected["processed_events"]) == 8
    for split in range(1, len(whole)):
        assert rows_after(whole[:split], whole[split:]) == expected, split
    assert rows_after(*([one] for one in whole)) == expected


def test_coordinates_that_hold_another_record_now_are_no_redelivery(connection: Connection) -> None:
    """A topic that was made again: its offsets begin at 0 once more."""
    process(connection, value(1, quantity=1), value(2))
    outcomes = process(connection, value(1, quantity=2), value(3))
    assert outcomes == {"conflict": 1, "created": 1}
    assert [row[0] for row in deliveries(connection)] == [1, 2, 3]


# Races: a rival commits between our read and our write


def test_a_key_that_a_rival_takes_is_decided_again_as_a_duplicate(
    connection: Connection, rival: Connection, before_write: Hook
) -> None:
    before_write(lambda: process(rival, value(1), partition=1))
    assert process(connection, value(1), value(2)) == {"duplicate": 1, "created": 1}
    assert entries(connection) == [(2, at(0), "created", 0, 1), (1, at(0), "created", 1, 0)]
    duplicates = connection.execute(DUPLICATES).fetchall()
    assert duplicates == [(0, 0, 1, at(0), False, None)]


@pytest.mark.parametrize(("minute", "outcome", "last"), [(4, "updated", 5), (6, "stale", 6)])
def test_an_order_that_a_rival_creates_is_decided_again(
    connection: Connection,
    rival: Connection,
    before_write: Hook,
    minute: int,
    outcome: str,
    last: int,
) -> None:
    before_write(lambda: process(rival, value(1, minute), partition=1))
    assert process(connection, value(1, 5), value(2)) == {outcome: 1, "created": 1}
    assert deliveries(connection) == [(1, "pending", at(last)), (2, "pending", at(0))]


@pytest.mark.parametrize(("minute", "outcome", "last"), [(4, "updated", 5), (6, "stale", 6)])
def test_a_delivery_that_a_rival_updates_is_decided_again(
    connection: Connection,
    rival: Connection,
    before_write: Hook,
    minute: int,
    outcome: str,
    last: int,
) -> None:
    process(connection, value(1, 1))
    before_write(lambda: process(rival, value(1, minute), partition=1))
    assert process(connection, value(1, 5), value(2), first=1) == {outcome: 1, "created": 1}
    assert deliveries(connection)[0] == (1, "pending", at(last))


def test_a_delivery_that_a_dispatcher_takes_is_decided_again_as_too_late(
    connection: Connection, rival: Connection, before_write: Hook
) -> None:
    process(connection, value(1, 1))
    before_write(lambda: move(rival, 1, "dispatched"))
    assert process(connection, value(1, 5), value(2), first=1) == {"too_late": 1, "created": 1}
    assert deliveries(connection)[0] == (1, "dispatched", at(1))


def test_the_same_batch_in_two_workers_at_once_is_written_once(
    connection: Connection, rival: Connection, before_write: Hook, contents: Contents
) -> None:
    """A worker that lost its partitions but not its life."""
    written = []

    def overtake() -> None:
        process(rival, *MIXED)
        written.append(contents())

    before_write(overtake)
    assert process(connection, *MIXED) == {"redelivered": len(MIXED)}
    assert [contents()] == written


def test_a_race_that_never_ends_is_an_error_and_writes_nothing(
    connection: Connection, rival: Connection, before_write: Hook, contents: Contents
) -> None:
    process(connection, value(1, 1))
    races = []

    def race() -> None:
        rival.execute("UPDATE deliveries SET event_time = event_time + interval '1 microsecond'")
        races.append(contents())
        before_write(race)

    before_write(race)
    with pytest.raises(RaceError):
        process(connection, value(1, 5), value(2), b"no JSON", first=1)
    assert len(races) == 2 * transaction.ATTEMPTS  # as a batch, and then as its first portion
    assert contents() == races[-1]


def test_a_batch_that_loses_every_race_is_written_in_portions(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An import beside a worker may come between each time, but hardly for so few orders."""
    write = Statements.write

    def overtaken(self: Statements, decision: Decision, consumed_at: datetime) -> list[bool]:
        if len(decision.entries) > transaction.PORTION:
            raise RaceError("a key was taken in between")
        return write(self, decision, consumed_at)

    monkeypatch.setattr(Statements, "write", overtaken)
    events = [value(n) for n in range(1, 2 * transaction.PORTION + 2)]
    assert process(connection, *events) == {"created": len(events)}


def test_two_workers_with_the_same_keys_in_opposite_order_do_not_deadlock(
    connection: Connection, rival: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(2, timeout=10)
    write, first = Statements.write, [True, True]

    def write_together(*arguments: Any) -> list[bool]:
        if first:
            first.pop()
            together.wait()
        return write(*arguments)

    monkeypatch.setattr(Statements, "write", write_together)
    events = [value(n) for n in range(1, 3001)]
    with ThreadPoolExecutor(2) as pool:
        ours = pool.submit(process, connection, *events)
        theirs = pool.submit(process, rival, *reversed(events), partition=1)
        outcomes = [ours.result(timeout=30), theirs.result(timeout=30)]
    assert sorted(outcomes, key=str) == [{"created": 3000}, {"duplicate": 3000}]
    rival.close()  # with it go its counts to the statistics
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert connection.execute(deadlocks).fetchall() == [(0,)]


# Errors that are no record's


def test_a_connection_that_ends_in_the_transaction_leaves_nothing(
    connection: Connection, database_url: str, before_write: Hook, contents: Contents
) -> None:
    before = contents()
    with database.connect(SecretStr(database_url), "doomed") as doomed:
        end = "SELECT pg_terminate_backend(%s, 5000)"
        before_write(lambda: connection.execute(end, (doomed.info.backend_pid,)))
        with pytest.raises(UnavailableError):
            process(doomed, *MIXED)
    assert contents() == before


def test_a_read_only_database_is_a_matter_of_time(
    connection: Connection, contents: Contents
) -> None:
    before = contents()
    connection.execute("SET default_transaction_read_only = on")
    with pytest.raises(UnavailableError, match="25006"):
        process(connection, *MIXED)
    connection.execute("SET default_transaction_read_only = off")
    assert contents() == before
    assert process(connection, *MIXED)["created"] == 3


def test_a_lock_that_is_not_given_in_time_is_a_matter_of_time(
    connection: Connection, rival: Connection, contents: Contents
) -> None:
    before = contents()
    connection.execute("SET lock_timeout = '50ms'")
    with rival.transaction():
        rival.execute("LOCK TABLE deliveries IN SHARE MODE")
        with pytest.raises(UnavailableError, match="55P03"):
            process(connection, *MIXED)
    assert contents() == before


@pytest.mark.parametrize("table", TIMELESS)
def test_a_missing_table_is_reported_with_what_to_run(connection: Connection, table: str) -> None:
    connection.execute(sql.SQL("ALTER TABLE {} RENAME TO elsewhere").format(sql.Identifier(table)))
    with pytest.raises(NotMigratedError, match=f'"{table}".*run `delivery migrate`'):
        process(connection, *MIXED)
    for other in {*TIMELESS, "elsewhere"} - {table}:
        assert connection.execute(f"SELECT count(*) FROM {other}").fetchall() == [(0,)]


# Time


def test_a_role_with_a_time_zone_of_its_own_changes_nothing(
    connection: Connection, database_url: str, contents: Contents
) -> None:
    """05:30 and 06:30 UTC are both half past one in New York that night, the hour repeats."""
    name = sql.Identifier(connection.info.dbname)
    connection.execute(
        sql.SQL("ALTER ROLE postgres IN DATABASE {} SET timezone = 'America/New_York'").format(name)
    )
    twice = [value(1, 4 * 60 + 30), value(1, 5 * 60 + 30)]
    with database.connect(SecretStr(database_url), "worker") as worker:
        assert process(worker, *twice) == {"created": 1, "updated": 1}
        before = contents()
        for hour in twice:
            assert process(worker, hour, first=twice.index(hour)) == {"redelivered": 1}
        assert contents() == before
        assert process(worker, *twice, first=2) == {"duplicate": 2}
    assert deliveries(connection) == [(1, "pending", datetime(2026, 11, 1, 6, 30, tzinfo=UTC))]


IN_ORDER = """
SELECT order_id, event_time, outcome FROM processed_events
ORDER BY consumed_at, record_topic, record_partition, record_offset
"""


def assert_log_is_in_the_order_of_the_decisions(connection: Connection) -> None:
    """Tells each event's outcome from those before it in the log."""
    last: dict[int, datetime] = {}
    for order_id, event_time, outcome in connection.execute(IN_ORDER):
        expected = "created" if order_id not in last else "updated"
        if order_id in last and event_time <= last[order_id]:
            expected = "stale"
        else:
            last[order_id] = event_time
        assert outcome == expected


def test_the_log_has_the_order_of_the_decisions_also_where_a_rival_began_later(
    connection: Connection, rival: Connection, before_read: Hook
) -> None:
    before_read(lambda: process(rival, value(1, 5), partition=1))
    assert process(connection, value(1, 6), value(1, 4)) == {"updated": 1, "stale": 1}
    assert_log_is_in_the_order_of_the_decisions(connection)


def test_the_log_has_the_order_of_the_decisions_of_two_workers(
    connection: Connection, rival: Connection
) -> None:
    def work(mine: Connection, partition: int) -> None:
        some = random.Random(partition)
        for number in range(40):
            events = [value(some.randint(1, 5), some.randint(0, 600)) for _ in range(5)]
            process(mine, *events, first=5 * number, partition=partition)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(work, connection, 0), pool.submit(work, rival, 1)]:
            done.result(timeout=30)
    logged = connection.execute("SELECT outcome, count(*) FROM event_history GROUP BY 1").fetchall()
    assert sum(count for _, count in logged) == 400
    assert_log_is_in_the_order_of_the_decisions(connection)


# A worker's right


@pytest.mark.parametrize(
    ("right", "half", "lock", "whole"),
    [(2, "1s", "1s", "2s"), (45, "22500ms", "5s", "45s")],
)
def test_a_workers_session_ends_what_outlives_its_right(
    database_url: str, right: int, half: str, lock: str, whole: str
) -> None:
    session = Session(SecretStr(database_url), timedelta(seconds=right))
    limits = {
        "idle_in_transaction_session_timeout": half,
        "lock_timeout": lock,
        "statement_timeout": whole,
        "transaction_timeout": whole,
    }
    shown = {name: session.connection().execute(f"SHOW {name}").fetchone() for name in limits}
    session.drop()
    assert shown == {name: (value,) for name, value in limits.items()}


def test_a_worker_frozen_in_its_transaction_does_not_block_its_successor(
    database_url: str, contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, write = SecretStr(database_url), Statements.write
    frozen, successor = Session(url, timedelta(seconds=2)), Session(url, timedelta(seconds=30))
    written = []

    def write_and_freeze(*arguments: Any) -> list[bool]:
        written_by_us = write(*arguments)
        monkeypatch.undo()
        assert process(successor.connection(), *MIXED)["created"] == 3
        written.append(contents())
        return written_by_us

    monkeypatch.setattr(Statements, "write", write_and_freeze)
    with pytest.raises(UnavailableError):
        process(frozen.connection(), *MIXED)
    frozen.drop()
    assert process(frozen.connection(), *MIXED) == {"redelivered": len(MIXED)}
    assert written == [contents()]
    frozen.drop()
    successor.drop()
