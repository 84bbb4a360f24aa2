"""Dead letters are replayed and discarded on a real PostgreSQL, beside whoever else writes."""

import threading
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from letters import GOOD_LETTERS, TESTER
from pydantic import SecretStr
from records import at, batch, record, value

from delivery.dead_letters import queries, resolve
from delivery.dead_letters.letter import LetterStatus
from delivery.domain.event import Contract
from delivery.domain.record import Record
from delivery.errors import UnavailableError
from delivery.inbox import transaction
from delivery.inbox.dead_letters import Resolver
from delivery.inbox.statements import Statements
from delivery.postgres import database
from delivery.postgres.database import Connection

Contents = Callable[[], dict[str, list[str]]]

CONTRACT = Contract()
LENIENT = Contract(max_future_skew=timedelta(days=1))
FUTURE = 12 * 60  # minutes: an event time an hour ahead of the records' own

OUTCOMES = "SELECT record_offset, outcome FROM event_history ORDER BY record_offset"
DELIVERIES = "SELECT order_id, quantity, event_time FROM deliveries ORDER BY order_id"
COUNTS = """
SELECT (SELECT count(*) FROM processed_events), (SELECT count(*) FROM deliveries),
       (SELECT count(*) FROM duplicate_events),
       (SELECT count(*) FROM dead_letters WHERE resolution = 'replayed')
"""
LARGE_LETTERS = """
INSERT INTO dead_letters (record_topic, record_partition, record_offset, record_value,
                          record_headers, reason, error)
SELECT 'orders', 0, n, convert_to(repeat('x', 1000000), 'UTF8'), '[]', 'not_json', 'an older error'
FROM generate_series(1, %s) AS n
"""


def process(
    connection: Connection, records: Sequence[Record], contract: Contract = CONTRACT
) -> dict[str, int]:
    return +transaction.process(connection, contract, records)


def replay(connection: Connection, contract: Contract = LENIENT) -> list[LetterStatus]:
    """Replays all open letters."""
    portions = resolve.replay(connection, contract, queries.open_ids(connection), TESTER)
    return [letter for portion in portions for letter in portion]


def resolutions(letters: Sequence[LetterStatus]) -> list[tuple[int, str | None]]:
    return [(letter.coordinates[2], letter.resolution) for letter in letters]


def rows_of(connection: Connection, query: str) -> list[tuple[Any, ...]]:
    return connection.execute(query).fetchall()


# What becomes of a replayed record


def test_a_record_is_found_as_it_came(connection: Connection) -> None:
    headers = [("a", b"\xff\x00"), ("a", "문\0".encode()), ("b", None), ("c", b"")]
    came = record(7, b"\x00\xfe{", 3, b"\x00\xff", headers)
    process(connection, [came, record(8, None, 3)])
    ids = queries.open_ids(connection)
    first, second = sorted(queries.find(connection, ids), key=lambda letter: letter.dead_letter_id)
    assert first.record == came
    assert (second.record.key, second.record.value) == (None, None)


def test_a_replayed_record_has_the_outcome_that_the_log_gives_it_now(
    connection: Connection,
) -> None:
    early = [value(n, FUTURE, quantity=1) for n in range(1, 6)]
    process(connection, batch(*early))
    later = [
        value(2, FUTURE - 1, quantity=2),  # the letter is newer
        value(3, FUTURE + 1, quantity=2),  # the letter is older
        value(4, FUTURE, quantity=1),  # the same event once more
        value(5, FUTURE, quantity=2),  # another one under the same key
    ]
    process(connection, batch(*later, first=10), LENIENT)
    letters = replay(connection)
    assert resolutions(letters) == [(offset, "replayed") for offset in range(5)]
    assert rows_of(connection, OUTCOMES) == [
        (0, "created"),
        (1, "updated"),
        (2, "stale"),
        (3, "duplicate"),
        (4, "conflict"),
        *((offset, "created") for offset in range(10, 14)),
    ]
    quantities = [row[1] for row in rows_of(connection, DELIVERIES)]
    assert quantities == [1, 1, 2, 1, 2]


def test_a_delivery_that_is_under_way_is_not_changed_by_a_replay(connection: Connection) -> None:
    process(connection, batch(value(1, 0, quantity=1), value(1, FUTURE, quantity=9)))
    connection.execute("UPDATE deliveries SET status = 'dispatched'")
    replay(connection)
    assert rows_of(connection, OUTCOMES) == [(0, "created"), (1, "too_late")]
    assert rows_of(connection, DELIVERIES) == [(1, 1, at(0))]


@pytest.mark.parametrize("table", ["processed_events", "duplicate_events"])
def test_a_letter_is_marked_in_the_transaction_of_its_row(
    connection: Connection, table: str
) -> None:
    process(connection, batch(value(1, FUTURE)))
    if table == "duplicate_events":
        process(connection, batch(value(1, FUTURE), first=1), LENIENT)
    replay(connection)
    query = f"SELECT l.xmin = t.xmin FROM dead_letters l JOIN {table} t USING (record_offset)"
    assert rows_of(connection, query) == [(True,)]


def test_a_record_that_is_rejected_again_stays_with_its_new_error(connection: Connection) -> None:
    process(connection, batch(value(1, FUTURE), b"no JSON"))
    error = "SELECT reason, error FROM dead_letters ORDER BY record_offset"
    before = rows_of(connection, error)
    letters = replay(connection, Contract(max_future_skew=timedelta(minutes=6)))
    assert resolutions(letters) == [(0, None), (1, None)]
    after = rows_of(connection, error)
    assert [(letter.reason, letter.error) for letter in letters] == after
    assert after[0] == ("future_event_time", before[0][1].replace("0:05:00", "0:06:00"))
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_what_the_database_refused_is_replayed_when_it_refuses_no_more(
    connection: Connection,
) -> None:
    connection.execute("ALTER TABLE deliveries ADD CONSTRAINT few CHECK (quantity < 1000)")
    contents = [value(n, quantity=1000 if n % 3 == 0 else 1) for n in range(1, 13)]
    assert process(connection, batch(*contents)) == {"created": 8, "rejected": 4}
    assert {letter.resolution for letter in replay(connection)} == {None}
    connection.execute("ALTER TABLE deliveries DROP CONSTRAINT few")
    connection.execute("ALTER TABLE deliveries ADD CONSTRAINT few CHECK (order_id <> 6) NOT VALID")
    letters = replay(connection)
    assert resolutions(letters) == [(2, "replayed"), (5, None), (8, "replayed"), (11, "replayed")]
    assert rows_of(connection, COUNTS) == [(11, 11, 0, 3)]


def test_the_records_of_a_portion_are_logged_in_the_order_of_their_offsets(
    connection: Connection,
) -> None:
    for offset in (2, 0, 1):  # as several workers might have met them
        process(connection, [record(offset, value(1, FUTURE + offset, quantity=offset))])
    replay(connection)
    assert rows_of(connection, OUTCOMES) == [(0, "created"), (1, "updated"), (2, "updated")]


def test_resolved_and_unknown_letters_are_left_alone(
    connection: Connection, contents: Contents
) -> None:
    process(connection, batch(value(1, FUTURE), value(2, FUTURE), value(3, FUTURE)))
    first, second, third = queries.open_ids(connection)
    resolve.discard(connection, [first, 99], Resolver("a test", "a test order"))
    list(resolve.replay(connection, LENIENT, [second], TESTER))
    before = contents()
    portions = list(resolve.replay(connection, LENIENT, [first, second, 99], TESTER))
    resolve.discard(connection, [first, second, 99], Resolver("a test", "another note"))
    assert [resolutions(portion) for portion in portions] == [[(0, "discarded"), (1, "replayed")]]
    assert contents() == before
    assert queries.open_ids(connection) == [third]


@pytest.mark.parametrize("contract", [CONTRACT, LENIENT])
def test_the_whole_topic_once_more_changes_no_row_after_repairs(
    connection: Connection, contents: Contents, contract: Contract
) -> None:
    future = [value(n, FUTURE) for n in range(1, 5)]
    records = batch(value(9), *future, value(1, FUTURE), b"no JSON", None, value(9))
    process(connection, records)
    ids = queries.open_ids(connection)
    resolve.discard(connection, [ids[2], ids[-1]], Resolver("a test", "by hand"))
    replay(connection)
    before = contents()
    process(connection, records, contract)
    assert contents() == before


# Many letters


def test_many_letters_are_replayed_in_portions(connection: Connection) -> None:
    connection.execute(GOOD_LETTERS, (2001,))
    portions = list(resolve.replay(connection, CONTRACT, queries.open_ids(connection), TESTER))
    assert [len(portion) for portion in portions] == [500, 500, 500, 500, 1]
    assert rows_of(connection, COUNTS) == [(2001, 2001, 0, 2001)]


def test_what_was_yielded_is_committed_and_the_rest_is_open(connection: Connection) -> None:
    connection.execute(GOOD_LETTERS, (600,))
    portions = resolve.replay(connection, CONTRACT, queries.open_ids(connection), TESTER)
    next(portions)
    assert rows_of(connection, COUNTS) == [(500, 500, 0, 500)]
    assert len(queries.open_ids(connection)) == 100


def test_memory_is_bounded_where_records_are_large(connection: Connection) -> None:
    connection.execute(LARGE_LETTERS, (20,))
    tracemalloc.start()
    try:
        letters = replay(connection)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(letters) == 20
    # A record takes up to five times its length on its way: 40 MB for a portion, 100 MB for all.
    assert peak < 50_000_000


# Beside others


@pytest.fixture
def rival(database_url: str) -> Iterator[Connection]:
    """Somebody else's connection."""
    with database.connect(SecretStr(database_url), "rival") as connection:
        yield connection


def before_the_write(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Has somebody act after the next batch is read and decided, and before it is written."""
    write = Statements.write

    def write_after_that(*arguments: Any) -> list[bool]:
        monkeypatch.setattr(Statements, "write", write)
        act()
        return write(*arguments)

    monkeypatch.setattr(Statements, "write", write_after_that)


@pytest.mark.parametrize("who", ["a replay", "a worker"])
def test_a_letter_that_somebody_else_replays_meanwhile_is_replayed_once(
    connection: Connection, rival: Connection, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    process(connection, batch(value(4, FUTURE, quantity=1)), LENIENT)
    contents = [value(1, FUTURE), value(1, FUTURE + 1), value(4, FUTURE, quantity=2), b"no JSON"]
    records = batch(*contents, first=1)
    process(connection, records)

    def act() -> object:
        return replay(rival) if who == "a replay" else process(rival, records, LENIENT)

    before_the_write(monkeypatch, act)
    assert [letter.resolution for letter in replay(connection)] == ["replayed"] * 3 + [None]
    assert rows_of(connection, OUTCOMES) == [
        (0, "created"),
        (1, "created"),
        (2, "updated"),
        (3, "conflict"),
        (4, "rejected"),
    ]
    assert rows_of(connection, COUNTS) == [(3, 2, 1, 3)]


def test_a_letter_that_is_discarded_meanwhile_is_not_processed(
    connection: Connection, rival: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    process(connection, batch(value(1, FUTURE), value(2, FUTURE)))
    first, _ = queries.open_ids(connection)
    before_the_write(
        monkeypatch, lambda: resolve.discard(rival, [first], Resolver("a test", "a test order"))
    )
    assert resolutions(replay(connection)) == [(0, "discarded"), (1, "replayed")]
    assert rows_of(connection, DELIVERIES) == [(2, None, at(FUTURE))]


def test_two_replays_and_a_worker_at_once_double_nothing(
    connection: Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = 1000
    connection.execute(GOOD_LETTERS, (letters,))
    monkeypatch.setattr(resolve, "PORTION_LETTERS", 50)
    ids = queries.open_ids(connection)
    records = sorted(letter.record for letter in queries.find(connection, ids))
    start, failures = threading.Barrier(3), list[BaseException]()

    def beside(act: Callable[[Connection], object]) -> threading.Thread:
        def run() -> None:
            try:
                with database.connect(SecretStr(database_url), "rival") as own:
                    start.wait(10)
                    act(own)
            except BaseException as error:
                failures.append(error)

        return threading.Thread(target=run)

    def work(own: Connection) -> None:
        for first in range(0, letters, 70):
            process(own, records[first : first + 70])

    threads = [
        beside(lambda own: list(resolve.replay(own, CONTRACT, ids, TESTER))) for _ in range(2)
    ]
    threads.append(beside(work))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert rows_of(connection, COUNTS) == [(letters, letters, 0, letters)]


def test_a_server_that_goes_away_is_reported_as_unavailable(
    connection: Connection, rival: Connection
) -> None:
    connection.execute(GOOD_LETTERS, (1,))
    rival.execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))
    with pytest.raises(UnavailableError):
        list(resolve.replay(connection, CONTRACT, [1], TESTER))
