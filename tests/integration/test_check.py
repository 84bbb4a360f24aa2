"""`delivery check` on a real database: rights, schema, zone, clock, and what it must not change."""

from collections.abc import Iterator
from datetime import UTC, timedelta
from zoneinfo import ZoneInfo

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from delivery.check import database as of_database
from delivery.check import rights
from delivery.check.line import Line
from delivery.check.zone import ENOUGH
from delivery.errors import UnavailableError
from delivery.postgres import database
from delivery.postgres.database import Connection
from delivery.postgres.roles import grant
from delivery.settings import WorkerSettings

EVENTS = """
INSERT INTO processed_events (order_id, event_time, outcome, payload, record_topic,
                              record_partition, record_offset, record_time, consumed_at)
SELECT n, now() - %s - n * interval '1 s', 'created', '{}', 'orders', 0, n,
       now() - n * interval '1 s', now()
FROM generate_series(1, %s) AS n
"""
LETTER = """
INSERT INTO dead_letters (record_topic, record_partition, record_offset, record_headers, reason,
                          error, consumed_at)
VALUES ('orders', 0, 99, '[]', 'future_event_time', 'hours ahead', now())
"""


@pytest.fixture
def role(database_url: str) -> Iterator[str]:
    """A role with a worker's rights."""
    name = f"{database_url.rpartition('/')[2]}_checked"
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
        grant(SecretStr(database_url), "worker", name)
        yield name
        owner.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))
        owner.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def lines(url: str, worker: WorkerSettings | None = None) -> dict[str, Line]:
    worker = worker or WorkerSettings()
    return {line.check: line for line in of_database.lines(SecretStr(url), worker, True)}


def as_role(url: str, role: str) -> str:
    return f"{url.replace('postgres@', f'{role}@', 1)}"


def test_a_worker_s_role_on_a_migrated_database_is_all_that_is_wanted(
    database_url: str, role: str
) -> None:
    found = lines(as_role(database_url, role))
    assert {line.result for name, line in found.items() if name != "durability"} == {"ok"}
    assert found["rights"].text == f"role {role} may do what a worker does, and no more"
    assert set(found) >= {"database", "encoding", "clock", "writable", "schema", "rights", "zone"}


@pytest.mark.parametrize(
    ("revoke", "missing"),
    [
        ("INSERT ON processed_events", "INSERT on processed_events"),
        ("SELECT ON archived_offsets", "SELECT on archived_offsets"),
        ("INSERT ON outbox", "INSERT on outbox"),
        ("UPDATE (resolved_by) ON dead_letters", "UPDATE on dead_letters"),
        ("INSERT (quantity) ON deliveries", "INSERT on deliveries"),
        (
            "EXECUTE ON FUNCTION ensure_partitions(integer, integer)",
            "EXECUTE on ensure_partitions",
        ),
    ],
)
def test_a_right_that_is_missing_is_named_with_what_gives_it(
    database_url: str, connection: Connection, role: str, revoke: str, missing: str
) -> None:
    what = f"REVOKE {revoke} FROM"
    connection.execute(sql.SQL(what).format() + sql.SQL(" {}").format(sql.Identifier(role)))  # type: ignore[arg-type]
    line = lines(as_role(database_url, role))["rights"]
    assert (line.result, line.text) == ("failed", f"role {role} lacks {missing}")
    assert line.todo.endswith(f"delivery migrate --worker-role {role}")


def test_the_owner_is_warned_that_it_could_change_the_log(database_url: str) -> None:
    line = lines(database_url)["rights"]
    assert line.result == "warning"
    assert "could change the log" in line.text


def test_without_tables_it_says_to_migrate_and_asks_no_further(database_url: str) -> None:
    elsewhere = make_conninfo(database_url, options="-csearch_path=pg_temp")
    with database.connect(SecretStr(database_url), "test") as connection:
        connection.execute("DROP SCHEMA public CASCADE")
    found = lines(elsewhere)
    assert (found["schema"].result, found["schema"].todo) == (
        "failed",
        "delivery migrate, as the tables' owner",
    )
    assert "rights" not in found


def test_a_database_that_takes_no_rows_is_told(
    database_url: str, connection: Connection, role: str
) -> None:
    name = sql.Identifier(role)
    off = sql.SQL("ALTER ROLE {} SET default_transaction_read_only = on").format(name)
    connection.execute(off)
    line = lines(as_role(database_url, role))["writable"]
    assert line.result == "failed"
    assert "default_transaction_read_only is on" in line.text


def test_another_encoding_is_told(database_url: str, connection: Connection) -> None:
    name = f"{database_url.rpartition('/')[2]}_latin"
    made = sql.SQL("CREATE DATABASE {} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    connection.execute(made.format(sql.Identifier(name)))
    (line,) = lines(f"{database_url.rpartition('/')[0]}/{name}").values()
    connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
    assert (line.check, line.result, line.cause) == ("encoding", "failed", "settings")
    assert "LATIN1" in line.text


@pytest.mark.parametrize(
    ("behind", "events", "result"),
    [
        (timedelta(0), ENOUGH, "ok"),
        (timedelta(seconds=30), ENOUGH, "ok"),
        (timedelta(hours=5), ENOUGH, "warning"),
        (timedelta(hours=5, minutes=45, seconds=20), ENOUGH, "warning"),
        (timedelta(hours=5), ENOUGH - 1, "ok"),  # too few to judge by
        (timedelta(hours=5, minutes=7), ENOUGH, "ok"),  # late, but not as a zone makes it
    ],
)
def test_events_that_lie_as_far_back_as_zones_differ_are_told(
    database_url: str, connection: Connection, behind: timedelta, events: int, result: str
) -> None:
    connection.execute(EVENTS, (behind, events))
    line = lines(database_url)["zone"]
    assert line.result == result
    assert "times without an offset are read in UTC" in line.text
    assert "(the default)" in line.text


def test_events_in_the_future_speak_against_the_zone(
    database_url: str, connection: Connection
) -> None:
    connection.execute(LETTER)
    worker = WorkerSettings(event_timezone=ZoneInfo("Asia/Seoul"))
    line = lines(database_url, worker)["zone"]
    assert line.result == "warning"
    assert "Asia/Seoul" in line.text
    assert "(the default)" not in line.text
    assert "1 open dead letters have times in the future" in line.text
    assert "replay --all --reason future_event_time" in line.todo


def test_clocks_that_differ_are_told(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Late:
        @staticmethod
        def now(zone: object) -> object:
            return real.now(UTC) - timedelta(seconds=90)

    real = of_database.datetime
    monkeypatch.setattr(of_database, "datetime", Late)
    line = lines(database_url)["clock"]
    assert (line.result, line.text) == (
        "warning",
        "PostgreSQL's and this machine's differ by 90 s",
    )


def test_it_writes_nothing(database_url: str, connection: Connection, role: str) -> None:
    """Its session refuses it."""
    url = SecretStr(database_url)
    with database.connect(url, "test", of_database.LIMITS, read_only=True) as looking:
        rights.line(looking, is_announcing=True)
        with pytest.raises(UnavailableError, match="read-only"), database.transaction(looking):
            looking.execute("CREATE TABLE forbidden ()")
