"""The history on real rows: what is selected, in which order, and how much memory it takes."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from delivery import history
from delivery.domain.record import UNKNOWN_TOPIC_ID
from delivery.domain.vocabulary import EVENT_OUTCOMES, OUTCOMES, Outcome
from delivery.errors import NotMigratedError, UnavailableError
from delivery.history import EventFilter, Position, sql
from delivery.postgres import database
from delivery.postgres.database import Connection

PROCESSED_ONES = ["created", "updated", "too_late", "stale"]
ALL = [*PROCESSED_ONES, "duplicate", "conflict", "rejected"]

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PAYLOAD = '{"event": {"orderId": 1, "price": 1.00},\n "b": 1, "a": "\\u0000"}'

PROCESSED = """
INSERT INTO processed_events (order_id, event_time, outcome, payload, record_topic,
                              record_partition, record_offset, consumed_at)
VALUES (%s, %s, %s, %s, 'orders', %s, %s, %s)
"""
DUPLICATE = """
INSERT INTO duplicate_events (order_id, event_time, payload_differs, payload, record_topic,
                              record_partition, record_offset, consumed_at)
VALUES (%s, %s, %s, %s, 'orders', %s, %s, %s)
"""
REJECTED = """
INSERT INTO dead_letters (order_id, reason, error, record_headers, record_topic,
                          record_partition, record_offset, consumed_at, resolved_at, resolution)
VALUES (%s, 'not_json', 'no JSON', '[]', 'orders', %s, %s, %s, %s, %s)
"""
MANY = """
INSERT INTO processed_events (order_id, event_time, outcome, payload, record_topic,
                              record_partition, record_offset, consumed_at)
SELECT n, %(now)s, 'created', json_build_object('text', repeat('x', 300)), 'orders', 0, n,
       %(now)s + n * interval '1 second'
FROM generate_series(1, %(rows)s) AS n
"""


@pytest.fixture
def log(connection: Connection) -> Connection:
    """A row of each outcome in `ALL`, a minute apart, and a dead letter that was replayed."""
    for minute, outcome in enumerate(PROCESSED_ONES):
        at = NOW + minute * MINUTE
        connection.execute(PROCESSED, (1 + minute, at, outcome, PAYLOAD, 0, minute, at))
    connection.execute(DUPLICATE, (1, NOW, False, None, 1, 0, NOW + 4 * MINUTE))
    connection.execute(DUPLICATE, (1, NOW, True, '{"event": 2}', 1, 1, NOW + 5 * MINUTE))
    connection.execute(REJECTED, (None, 1, 2, NOW + 6 * MINUTE, None, None))
    connection.execute(REJECTED, (1, 1, 3, NOW + 7 * MINUTE, NOW, "replayed"))
    return connection


@pytest.fixture
def reading(database_url: str) -> Iterator[Connection]:
    """Begun only when the rows are there: it sees one moment."""
    with database.snapshot(SecretStr(database_url), "test") as connection:
        yield connection


def outcomes(connection: Connection, wanted: EventFilter, limit: int | None = None) -> list[Any]:
    return [row[0] for row in history.events(connection, wanted, limit, ["outcome"])]


def test_the_outcomes_are_those_of_the_view_and_of_decide() -> None:
    assert [outcome for outcome in OUTCOMES if outcome in ALL] == ALL
    assert set(EVENT_OUTCOMES) < set(OUTCOMES)


@pytest.mark.usefixtures("log")
def test_each_record_is_shown_once_as_what_it_became(reading: Connection) -> None:
    assert outcomes(reading, EventFilter()) == ALL


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (EventFilter(order_id=1), ["created", "duplicate", "conflict"]),
        (EventFilter(since=NOW + 5 * MINUTE), ["conflict", "rejected"]),
        (EventFilter(until=NOW + MINUTE), ["created"]),
        (EventFilter(outcomes=["stale"]), ["stale"]),
        (EventFilter(outcomes=["rejected", "updated"]), ["updated", "rejected"]),
        (EventFilter(coordinates=("orders", 0, 1)), ["updated"]),
        (EventFilter(coordinates=("orders", 1, 1)), ["conflict"]),
        (EventFilter(coordinates=("orders", 1, 2)), ["rejected"]),
        (EventFilter(coordinates=("others", 0, 1)), []),
        (EventFilter(order_id=1, since=NOW + MINUTE), ["duplicate", "conflict"]),
        (EventFilter(order_id=1, outcomes=["stale"]), []),
        (EventFilter(since=NOW + MINUTE, until=NOW + 3 * MINUTE), ["updated", "too_late"]),
        (
            EventFilter(1, NOW, NOW + 5 * MINUTE, ["created", "conflict"], ("orders", 0, 0)),
            ["created"],
        ),
    ],
)
def test_all_filters_that_are_given_hold(
    reading: Connection, wanted: EventFilter, expected: list[str]
) -> None:
    assert outcomes(reading, wanted) == expected
    assert outcomes(reading, wanted, limit=100) == expected
    assert outcomes(reading, wanted, limit=1) == expected[-1:]


@pytest.mark.usefixtures("log")
def test_a_time_is_compared_as_a_moment_whatever_its_offset(reading: Connection) -> None:
    since = datetime.fromisoformat("2026-11-01T21:05:00+09:00")
    assert outcomes(reading, EventFilter(since=since)) == ["conflict", "rejected"]


def test_rows_of_one_moment_are_in_the_order_of_their_offsets(
    connection: Connection, database_url: str
) -> None:
    places = [(1, 7), (0, 10), (0, 9), (1, 6)]
    for order_id, (partition, offset) in enumerate(places, 1):
        connection.execute(PROCESSED, (order_id, NOW, "created", "{}", partition, offset, NOW))
    columns = ["record_partition", "record_offset"]
    with database.snapshot(SecretStr(database_url), "test") as reading:
        assert list(history.events(reading, EventFilter(), None, columns)) == sorted(places)
        assert list(history.events(reading, EventFilter(), 2, columns)) == [(1, 6), (1, 7)]


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("limit", [1, 3, 7, 8, 1000])
def test_a_limit_leaves_the_newest_and_the_oldest_of_them_first(
    reading: Connection, limit: int
) -> None:
    assert outcomes(reading, EventFilter(), limit) == ALL[-limit:]


@pytest.mark.parametrize("age", [0, 30, 60, 3600, 86400, 86400 * 365 * 3])
def test_a_limit_finds_the_newest_however_old_they_are(
    connection: Connection, database_url: str, age: int
) -> None:
    at = datetime.now(UTC) - timedelta(seconds=age)
    for number in range(1, 4):
        moment = at + number * timedelta(milliseconds=1)
        connection.execute(PROCESSED, (number, NOW, "created", "{}", 0, number, moment))
    with database.snapshot(SecretStr(database_url), "test") as reading:
        newest = history.events(reading, EventFilter(), 2, ["record_offset"])
        assert list(newest) == [(2,), (3,)]


@pytest.mark.usefixtures("log")
def test_a_row_has_the_columns_of_the_view_and_the_payload_as_it_was_sent(
    reading: Connection,
) -> None:
    shown = reading.execute("SELECT * FROM event_history LIMIT 0").description
    assert shown
    assert tuple(column.name for column in shown) == history.COLUMNS
    (row,) = history.events(reading, EventFilter(coordinates=("orders", 0, 0)))
    assert dict(zip(history.COLUMNS, row, strict=True)) == {
        "order_id": 1,
        "event_time": NOW,
        "outcome": "created",
        "record_topic": "orders",
        "record_partition": 0,
        "record_offset": 0,
        "record_time": None,
        "consumed_at": NOW,
        "payload": PAYLOAD,
        "reason": None,
        "error": None,
        "dead_letter_id": None,
        "resolution": None,
        "record_topic_id": UNKNOWN_TOPIC_ID,
        "erasure_id": None,
        "record_headers": None,
    }


def test_times_at_the_end_of_the_calendar_are_read_whatever_the_servers_time_zone(
    connection: Connection, database_url: str
) -> None:
    first = datetime(1, 1, 1, tzinfo=UTC)
    connection.execute(PROCESSED, (1, first, "created", "{}", 0, 0, NOW))
    connection.execute("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = %L', "
                       "current_database(), 'America/New_York'); END $$")  # fmt: skip
    with database.snapshot(SecretStr(database_url), "test") as reading:
        assert list(history.events(reading, EventFilter(), None, ["event_time"])) == [(first,)]


@pytest.mark.usefixtures("log")
def test_the_rows_are_those_of_the_view(reading: Connection) -> None:
    texts = {name: f"{name}::text" for name in ("payload", "record_headers")}
    view = reading.execute(
        f"SELECT {', '.join(texts.get(name, name) for name in history.COLUMNS)} "
        f"FROM event_history ORDER BY {', '.join(history.ORDER)}"
    )
    assert list(history.events(reading, EventFilter())) == view.fetchall()


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("length", [1, 2, 3, 7, 8])
@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (EventFilter(), ALL),
        (EventFilter(order_id=1), ["created", "duplicate", "conflict"]),
        (EventFilter(outcomes=["conflict", "stale"]), ["stale", "conflict"]),
        (EventFilter(since=NOW + MINUTE, until=NOW + 4 * MINUTE), ["updated", "too_late", "stale"]),
    ],
)
def test_pages_from_the_newest_on_hold_each_row_once(
    reading: Connection, wanted: EventFilter, expected: list[str], length: int
) -> None:
    rows = page = history.page(reading, wanted, length)
    while page:
        page = history.page(reading, wanted, length, history.position(page[-1]))
        rows = rows + page
    assert [row["outcome"] for row in rows] == expected[::-1]


def test_rows_of_one_moment_are_not_lost_between_pages(
    connection: Connection, database_url: str
) -> None:
    places = [(1, 7), (0, 10), (0, 9), (1, 6)]
    for order_id, (partition, offset) in enumerate(places, 1):
        connection.execute(PROCESSED, (order_id, NOW, "created", "{}", partition, offset, NOW))
    with database.snapshot(SecretStr(database_url), "test") as reading:
        before = Position(NOW, "orders", 1, 6)
        rows = history.page(reading, EventFilter(), 9, before)
    assert [history.position(row)[2:] for row in rows] == [(0, 10), (0, 9)]


@pytest.mark.parametrize("outcome", ["too_late", "conflict", "created"])
def test_the_newest_of_an_outcome_are_found_among_many_others(
    connection: Connection, database_url: str, outcome: Outcome
) -> None:
    fill_all_three(connection, 20_000)
    query, values = sql.newest_first(EventFilter(outcomes=[outcome]), 9, None, ["order_id"])
    with database.snapshot(SecretStr(database_url), "test") as reading:
        explained = reading.execute(b"EXPLAIN (ANALYZE, FORMAT json) " + query, values)
        ((plan,),) = explained
    assert rows_read(plan[0]["Plan"]) < 100


@pytest.mark.parametrize("wanted", [EventFilter(), EventFilter(since=NOW)], ids=["all", "since"])
def test_the_first_of_all_rows_comes_before_the_others_are_read(
    connection: Connection, database_url: str, wanted: EventFilter
) -> None:
    fill_all_three(connection, 20_000)
    query, values = sql.oldest_first(wanted, None, history.COLUMNS)
    first = b"EXPLAIN (ANALYZE, FORMAT json) SELECT * FROM (" + query + b") AS rows LIMIT 1"
    with database.snapshot(SecretStr(database_url), "test") as reading:
        ((plan,),) = reading.execute(first, values)
    assert rows_read(plan[0]["Plan"]) < 1000


def rows_read(node: dict[str, Any]) -> int:
    """How many rows the plan took from tables, those included that a filter removed."""
    own = (
        node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
        if "Relation Name" in node
        else 0
    )
    return int(own * node["Actual Loops"]) + sum(map(rows_read, node.get("Plans", [])))


@pytest.mark.usefixtures("log")
def test_reading_sees_one_moment_and_changes_nothing(
    reading: Connection, connection: Connection
) -> None:
    assert outcomes(reading, EventFilter()) == ALL
    connection.execute(PROCESSED, (9, NOW, "created", "{}", 0, 99, NOW))
    assert outcomes(reading, EventFilter()) == ALL
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        reading.execute("DELETE FROM deliveries")


# The index by which the rows are found in each of the logs.
@pytest.mark.parametrize(
    ("wanted", "indexes"),
    [
        (
            EventFilter(order_id=5),
            ["_pkey", "ix_duplicate_events_order_id", "ix_dead_letters_order_id"],
        ),
        (
            EventFilter(since=NOW, until=NOW + timedelta(minutes=9)),
            ["consumed_at_idx", "ix_duplicate_events_consumed_at", "ix_dead_letters_consumed_at"],
        ),
        (
            EventFilter(coordinates=("orders", 0, 9)),
            ["_record_topic_", "pk_duplicate_events", "uq_dead_letters_coordinates"],
        ),
    ],
)
def test_each_log_is_searched_by_index(
    connection: Connection, database_url: str, wanted: EventFilter, indexes: list[str]
) -> None:
    fill_all_three(connection, 20_000)
    with database.snapshot(SecretStr(database_url), "test") as reading:
        reading.execute("SET LOCAL enable_seqscan = off")
        query, values = sql.newest_first(wanted, 100, None, ["order_id"])
        plan = "\n".join(row[0] for row in reading.execute(b"EXPLAIN " + query, values))
    assert [index for index in indexes if index not in plan] == []


def fill_all_three(connection: Connection, rows: int) -> None:
    connection.execute(MANY, {"now": NOW, "rows": rows})
    connection.execute(
        "INSERT INTO duplicate_events (record_topic, record_partition, record_offset, order_id,"
        " event_time, payload_differs, consumed_at) SELECT record_topic, 1, record_offset,"
        " order_id, event_time, false, consumed_at FROM processed_events"
    )
    connection.execute(
        "INSERT INTO dead_letters (record_topic, record_partition, record_offset, order_id, reason,"
        " error, record_headers, consumed_at) SELECT record_topic, 2, record_offset,"
        " order_id, 'not_json', '', '[]', consumed_at FROM processed_events"
    )
    connection.execute("VACUUM ANALYZE")


# Prints the rows of the log, all of which it reads, and its own peak of memory in bytes. Not
# getrusage's: there a new process begins with the peak of the process that has started it.
READ_ALL = """
import os, sys
from pydantic import SecretStr
from benchmarks.processes import peak_memory
from delivery import history
from delivery.postgres import database
with database.snapshot(SecretStr(sys.argv[1]), "test") as connection:
    rows = sum(1 for _ in history.events(connection, history.EventFilter()))
print(rows, peak_memory(os.getpid()))
"""

only_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a peak")


def read_all(database_url: str) -> tuple[int, int]:
    """The number of rows, and the peak of memory in bytes."""
    command = [sys.executable, "-c", READ_ALL, database_url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows, peak = map(int, done.stdout.split())
    return rows, peak


@only_linux
def test_memory_does_not_grow_with_the_log(connection: Connection, database_url: str) -> None:
    connection.execute(MANY, {"now": NOW, "rows": 1000})
    few, little = read_all(database_url)
    connection.execute(MANY, {"now": NOW + MINUTE, "rows": 100_000})
    many, much = read_all(database_url)
    assert (few, many) == (1000, 101_000)
    assert much < little * 1.2  # all rows at once would be 40 MB more


# Payloads of a megabyte each.
LARGE = """
INSERT INTO processed_events (order_id, event_time, outcome, payload, record_topic,
                              record_partition, record_offset)
SELECT n, now(), 'created', json_build_object('text', repeat('x', 1000000)), 'orders', 0, n
FROM generate_series(1, 400) AS n
"""


@only_linux
def test_memory_does_not_grow_with_the_payloads(connection: Connection, database_url: str) -> None:
    connection.execute(LARGE)
    rows, peak = read_all(database_url)
    assert rows == 400
    assert peak < 300_000_000  # a thousand rows at once would be 400 MB more


@pytest.mark.parametrize("limit", [history.STREAMED_ROWS, history.STREAMED_ROWS + 1])
def test_few_rows_and_many_are_the_newest_of_all(
    connection: Connection, database_url: str, limit: int
) -> None:
    """Only many are streamed."""
    number = 2 * history.STREAMED_ROWS
    connection.execute(MANY, {"now": NOW, "rows": number})
    with database.snapshot(SecretStr(database_url), "test") as reading:
        newest = history.events(reading, EventFilter(), limit, ["record_offset"])
        assert [offset for (offset,) in newest] == list(range(number - limit + 1, number + 1))


def test_a_schema_that_is_not_there_is_reported(empty_database_url: str) -> None:
    with (
        pytest.raises(NotMigratedError, match="delivery migrate"),
        database.snapshot(SecretStr(empty_database_url), "test"),
    ):
        pass


def test_a_server_that_is_not_there_is_reported() -> None:
    with (
        pytest.raises(UnavailableError, match="can't be reached"),
        database.snapshot(SecretStr("postgresql://nobody@127.0.0.1:1/none"), "test"),
    ):
        pass


def test_a_connection_that_breaks_while_rows_are_read_is_reported(
    connection: Connection, database_url: str
) -> None:
    connection.execute(MANY, {"now": NOW, "rows": 5 * history.STREAMED_ROWS})
    with (
        pytest.raises(UnavailableError),
        database.snapshot(SecretStr(database_url), "test") as reading,
    ):
        read_while_the_connection_breaks(reading, connection)


def read_while_the_connection_breaks(reading: Connection, other: Connection) -> None:
    rows = history.events(reading, EventFilter())
    next(rows)
    other.execute("SELECT pg_terminate_backend(%s)", (reading.info.backend_pid,))
    list(rows)
