"""The outbox: a row for each created delivery, in the transaction that creates it."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from letters import TESTER
from psycopg import sql
from pydantic import SecretStr
from records import at, batch, value

from delivery.announce import outbox
from delivery.dead_letters import queries, resolve
from delivery.domain.event import Contract
from delivery.errors import RaceError
from delivery.inbox import transaction
from delivery.postgres import database
from delivery.postgres.database import Connection
from delivery.postgres.roles import grant

CONTRACT = Contract()
LENIENT = Contract(max_future_skew=timedelta(days=1))
FUTURE = 12 * 60  # minutes: an event time an hour ahead of the records' own

ROWS = "SELECT order_id, event_time FROM outbox ORDER BY consumed_at, order_id"


def process(connection: Connection, *contents: bytes | None, first: int = 0) -> dict[str, int]:
    records = batch(*contents, first=first)
    return +transaction.process(connection, CONTRACT, records, outbox.write)


def rows(connection: Connection) -> list[tuple[object, ...]]:
    return connection.execute(ROWS).fetchall()


def test_each_created_delivery_has_a_row_and_nothing_else_has_one(connection: Connection) -> None:
    process(connection, value(1, 5), value(2), value(1, 7), value(1, 3), value(2), b"no JSON")
    assert rows(connection) == [(1, at(5)), (2, at(0))]
    connection.execute("UPDATE deliveries SET status = 'dispatched' WHERE order_id = 2")
    process(connection, value(1, 9), value(2, 9), value(2, 0, quantity=2), first=6)
    process(connection, value(1, 5), value(2), value(1, 7))
    assert rows(connection) == [(1, at(5)), (2, at(0))]


def test_a_row_has_the_clock_of_its_delivery_in_the_log(connection: Connection) -> None:
    process(connection, value(1), value(2))
    log = "SELECT consumed_at, order_id, event_time FROM processed_events ORDER BY order_id"
    kept = "SELECT consumed_at, order_id, event_time FROM outbox ORDER BY order_id"
    assert connection.execute(kept).fetchall() == connection.execute(log).fetchall()


def test_a_transaction_that_is_rolled_back_leaves_no_row(connection: Connection) -> None:
    races = iter([True])

    def write_and_meet_a_race(*arguments: Any) -> None:
        outbox.write(*arguments)
        if next(races, False):
            raise RaceError("somebody wrote in between")

    transaction.process(connection, CONTRACT, batch(value(1)), write_and_meet_a_race)
    assert rows(connection) == [(1, at(0))]


def test_a_row_that_the_database_refuses_is_announced_no_more_than_it_is_delivered(
    connection: Connection,
) -> None:
    connection.execute("ALTER TABLE deliveries ADD CHECK (quantity < 1000)")
    contents = [value(1), value(2, quantity=1000), value(3)]
    assert process(connection, *contents) == {"created": 2, "rejected": 1}
    assert rows(connection) == [(1, at(0)), (3, at(0))]


def test_without_an_outbox_nothing_is_written(connection: Connection) -> None:
    assert outbox.of_worker(connection, is_wanted=False) is transaction.no_outbox
    transaction.process(connection, CONTRACT, batch(value(1)))
    assert rows(connection) == []
    assert connection.execute("SELECT FROM outbox_periods").fetchall() == []


# Switching it on and off

PERIODS = "SELECT switched_off_at FROM outbox_periods ORDER BY switched_on_at"


def test_the_first_worker_switches_it_on_and_the_others_find_it_so(connection: Connection) -> None:
    for _ in range(2):
        assert outbox.of_worker(connection, is_wanted=True) is outbox.write
    assert connection.execute(PERIODS).fetchall() == [(None,)]
    assert outbox.switch_off(connection)
    assert not outbox.switch_off(connection)
    assert outbox.as_switched(connection) is transaction.no_outbox
    outbox.of_worker(connection, is_wanted=True)
    off = [off is not None for (off,) in connection.execute(PERIODS).fetchall()]
    assert off == [True, False]


@pytest.mark.parametrize(("is_on", "announced"), [(True, [(1, at(FUTURE))]), (False, [])])
def test_a_replayed_letter_is_announced_where_the_workers_deliveries_are(
    connection: Connection, is_on: bool, announced: list[object]
) -> None:
    outbox.of_worker(connection, is_wanted=is_on)
    process(connection, value(1, FUTURE))
    assert rows(connection) == []
    ((letter,),) = resolve.replay(connection, LENIENT, queries.open_ids(connection), TESTER)
    assert letter.resolution == "replayed"
    assert rows(connection) == announced
    list(resolve.replay(connection, LENIENT, [letter.dead_letter_id], TESTER))
    assert rows(connection) == announced


# Rights


@pytest.fixture
def roles(database_url: str) -> Iterator[dict[str, str]]:
    """For each kind of role the URL of one that has its rights."""
    name = database_url.rpartition("/")[2]
    made = {kind: f"{name}_{kind}" for kind in ("worker", "announcer", "reader")}
    with psycopg.connect(database_url, autocommit=True) as connection:
        for role in made.values():
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
        for kind, role in made.items():
            grant(SecretStr(database_url), kind, role)  # type: ignore[arg-type]
        yield {
            kind: database_url.replace("//postgres@", f"//{role}@") for kind, role in made.items()
        }
        for role in made.values():
            for drop in ("DROP OWNED BY {}", "DROP ROLE {}"):
                connection.execute(sql.SQL(drop).format(sql.Identifier(role)))


def test_a_workers_role_adds_to_the_outbox_and_can_do_nothing_else_with_it(
    roles: dict[str, str],
) -> None:
    with database.connect(SecretStr(roles["worker"]), "test") as worker:
        outbox.of_worker(worker, is_wanted=True)
        assert process(worker, value(1)) == {"created": 1}
        for refused in (
            "SELECT FROM outbox",
            "DELETE FROM outbox",
            "UPDATE outbox_periods SET switched_off_at = now()",
            "INSERT INTO announcements VALUES (1, now(), now(), 't', 0, 0)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                worker.execute(refused)


def test_an_announcers_role_can_neither_read_nor_write_the_log(roles: dict[str, str]) -> None:
    with database.connect(SecretStr(roles["announcer"]), "test") as announcer:
        assert announcer.execute("DELETE FROM outbox").rowcount == 0
        for refused in (
            "SELECT FROM processed_events",
            "SELECT FROM deliveries",
            "INSERT INTO outbox VALUES (now(), 1, now())",
            "UPDATE announcements SET announced_at = now()",
            "DELETE FROM announcements",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                announcer.execute(refused)


def test_a_readers_role_sees_what_is_announced_and_what_is_to_be(roles: dict[str, str]) -> None:
    with database.connect(SecretStr(roles["reader"]), "test") as reader:
        for table in ("outbox", "announcements", "announced_positions", "outbox_periods"):
            assert reader.execute(f"SELECT FROM {table}").fetchall() == []


@pytest.mark.parametrize("change", ["UPDATE {} SET order_id = 2", "DELETE FROM {}", "TRUNCATE {}"])
def test_what_was_announced_can_not_be_changed(connection: Connection, change: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="is append-only"):
        connection.execute(change.format("announcements"))
