"""Events are found without the order's id: by their own id, by who ordered, by text in letters."""

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import searched
from every_command import Run
from pydantic import SecretStr
from searched import DELIVERIES, EVENT, FIRST, NOW, SECOND, payload

from delivery import history
from delivery.cli import DONE, USAGE
from delivery.dead_letters import queries
from delivery.dead_letters.letter import LetterFilter
from delivery.history import EventFilter, search
from delivery.postgres import database, search_indexes
from delivery.postgres.database import Connection

MANY = """
INSERT INTO processed_events (order_id, event_time, outcome, payload, record_topic,
                              record_partition, record_offset, consumed_at)
SELECT n, %(now)s, 'created', format('{"event": {"orderId": %%s, "text": "%%s"}, "eventId": "%%s"}',
       n, repeat('x', 200), md5(n::text)::uuid)::json, 'orders', 3, n, %(now)s
FROM generate_series(1000, 40000) AS n
"""


@pytest.fixture
def log(connection: Connection) -> Connection:
    searched.fill(connection)
    return connection


def found(url: str, event_id: str, **span: Any) -> list[tuple[Any, ...]]:
    with database.snapshot(SecretStr(url), "test") as reading:
        keys = search.of_event(reading, event_id, EventFilter(**span))
        return list(history.events(reading, EventFilter(found=keys), 99, ("outcome", "order_id")))


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("is_indexed", [False, True])
def test_an_event_is_found_by_its_id_with_its_duplicates_and_letters(
    database_url: str, is_indexed: bool
) -> None:
    if is_indexed:
        search_indexes.build(SecretStr(database_url))
    assert found(database_url, FIRST) == [("created", 1), ("duplicate", 1), ("rejected", 1)]
    assert found(database_url, SECOND) == [("updated", 1)]
    assert found(database_url, "conflict-7") == [("created", 3), ("conflict", 3)]
    assert found(database_url, "nowhere") == []
    assert found(database_url, SECOND, until=NOW + timedelta(minutes=1)) == []
    assert found(database_url, SECOND, since=NOW + timedelta(minutes=1)) == [("updated", 1)]


@pytest.mark.usefixtures("log")
def test_a_customer_s_orders_are_found_with_all_their_records(database_url: str) -> None:
    with database.snapshot(SecretStr(database_url), "test") as reading:
        orders = search.of_customer(reading, 4701)
        wanted = EventFilter(found=orders)
        rows = [row[0] for row in history.events(reading, wanted, 99, ("outcome",))]
        nobody = search.of_customer(reading, 4799)
        assert list(history.events(reading, EventFilter(found=nobody), None)) == []
    assert rows == ["created", "duplicate", "rejected", "updated"]


def test_of_a_customer_with_very_many_orders_the_newest_are_found(
    connection: Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "MOST_ORDERS", 2)
    connection.execute(
        "INSERT INTO deliveries (order_id, ordered_by, event_time) "
        "SELECT n, 7, now() FROM generate_series(1, 5) AS n"
    )
    with database.snapshot(SecretStr(database_url), "test") as reading:
        assert list(search.of_customer(reading, 7).orders) == [5, 4]


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize(
    ("text", "letters"), [("문 앞", [2]), ("Kim", [1]), ("kim", []), (FIRST[:9], [1]), ("%", [])]
)
def test_letters_are_found_by_text_in_their_bytes(
    database_url: str, text: str, letters: list[int]
) -> None:
    with database.snapshot(SecretStr(database_url), "test") as reading:
        assert queries.open_ids(reading, LetterFilter(text=text)) == letters


def test_what_is_searched_is_found_by_index(connection: Connection, database_url: str) -> None:
    connection.execute(MANY, {"now": NOW})
    connection.execute(DELIVERIES)
    connection.execute("VACUUM ANALYZE")
    assert search_indexes.build(SecretStr(database_url)) == [
        search_indexes.EVENT_ID_INDEX,
        search_indexes.ORDERED_BY_INDEX,
    ]
    assert search_indexes.build(SecretStr(database_url)) == []
    with database.snapshot(SecretStr(database_url), "test") as reading:
        with search_indexes.preferred(reading):
            of_event = plan(
                reading, search._KEYS, {"event_id": FIRST, "since": None, "until": None}
            )
        of_customer = plan(reading, search._ORDERS, (77, 1000))
        ((seqscan,),) = reading.execute("SHOW enable_seqscan")
    assert "Bitmap Index Scan on processed_events_2026_11_event_id_idx" in of_event
    assert "Seq Scan on processed_events_2026_11" not in of_event
    assert search_indexes.ORDERED_BY_INDEX in of_customer
    assert seqscan == "on"
    assert found(database_url, "3636638817772e42b59d74cff571fbb3") == []
    ((event_id,),) = connection.execute("SELECT md5('31000')::uuid::text")
    assert found(database_url, event_id) == [("created", 31000)]


def plan(reading: Connection, query: str, values: Any) -> str:
    return "\n".join(row[0] for row in reading.execute(f"EXPLAIN {query}", values))


def test_a_partition_made_later_is_searched_by_index_too(
    connection: Connection, database_url: str
) -> None:
    search_indexes.build(SecretStr(database_url))
    connection.execute(
        "CREATE TABLE later PARTITION OF processed_events "
        "FOR VALUES FROM ('2040-01-01Z') TO ('2040-02-01Z')"
    )
    connection.execute(EVENT, (1, "2040-01-02Z", "created", payload(FIRST), 1, NOW))
    assert search_indexes.build(SecretStr(database_url)) == []
    assert found(database_url, FIRST) == [("created", 1)]


def test_a_build_that_was_interrupted_is_finished_by_the_next(
    connection: Connection, database_url: str
) -> None:
    """It waits for somebody who looks at an older moment of the database."""
    connection.execute(EVENT, (1, NOW, "created", payload(FIRST), 1, NOW))
    open_transaction = psycopg.connect(database_url)
    open_transaction.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    open_transaction.execute("SELECT count(*) FROM deliveries")
    building = threading.Thread(target=_build_until_ended, args=(database_url,))
    building.start()
    pid = _wait_for(connection, "CREATE INDEX CONCURRENTLY%")
    connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
    building.join(30)
    assert not building.is_alive()
    open_transaction.commit()
    open_transaction.close()
    assert not search_indexes.is_built(connection, search_indexes.EVENT_ID_INDEX)
    assert search_indexes.build(SecretStr(database_url))[0] == search_indexes.EVENT_ID_INDEX
    assert found(database_url, FIRST) == [("created", 1)]


def _build_until_ended(url: str) -> None:
    with pytest.raises(Exception, match="terminat"):
        search_indexes.build(SecretStr(url))


def _wait_for(connection: Connection, statement: str) -> int:
    deadline = datetime.now(UTC) + timedelta(seconds=30)
    while datetime.now(UTC) < deadline:
        row = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE query LIKE %s AND wait_event_type = 'Lock' "
            "AND datname = current_database()",
            (statement,),
        ).fetchone()
        if row:
            pid: int = row[0]
            return pid
    raise AssertionError(f"nobody waits in {statement}")


@pytest.mark.usefixtures("log")
def test_the_commands_search(run: Run, database_url: str) -> None:
    code, said, _ = run(database_url, "migrate", "--search-indexes")
    assert (code, "indexes built: ix_processed_events_event_id, ix" in said) == (DONE, True)
    assert "none, they are there already" in run(database_url, "migrate", "--search-indexes")[1]

    def outcomes(*options: str) -> list[str]:
        lines = run(database_url, "history", *options, "--format", "json")[1].splitlines()
        return [json.loads(line)["outcome"] for line in lines]

    assert outcomes("--event-id", FIRST) == ["created", "duplicate", "rejected"]
    assert outcomes("--event-id", FIRST, "--outcome", "rejected") == ["rejected"]
    assert outcomes("--ordered-by", "4703") == ["created", "conflict"]
    said = run(database_url, "dead-letters", "list", "--text", "문 앞", "--format", "json")[1]
    assert [json.loads(line)["dead_letter_id"] for line in said.splitlines()] == [2]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--event-id", "it's"], "is no event id"),
        (["--event-id", FIRST, "--ordered-by", "7"], "either --event-id or --ordered-by"),
        (["--event-id", FIRST, "--archive", "-"], "for the database's log"),
    ],
)
def test_a_search_that_can_t_be_is_refused(run: Run, options: list[str], told: str) -> None:
    code, _, error = run("postgresql://nobody@127.0.0.1:1/none", "history", *options)
    assert (code, told in " ".join(error.split())) == (USAGE, True)
