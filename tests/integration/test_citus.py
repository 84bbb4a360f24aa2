"""On a Citus cluster: what a PostgreSQL of one machine does, done by a coordinator and its nodes.

Runs where DELIVERY_TEST_CITUS_URL names a coordinator, whose database it gives a schema of its own.
"""

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit
from urllib.request import urlopen
from uuid import uuid4

import every_outcome
import psycopg
import pytest
from alembic import command
from contended import work_and_erase
from every_command import Run
from every_outcome import ORDER
from forbidden import FORBIDDEN
from kafka import KafkaProducer
from psycopg import sql
from psycopg.errors import InsufficientPrivilege
from pydantic import SecretStr
from records import RECEIVED, batch, record, value
from served import served, wait_until
from structlog.testing import capture_logs

from delivery.cli import DONE, UNREACHABLE, USAGE
from delivery.domain.event import Contract
from delivery.domain.month import Month
from delivery.embedded.kafka import KafkaServer
from delivery.erasure.erase import Erasure
from delivery.errors import RaceError, SettingsError, UnavailableError
from delivery.history import stats
from delivery.inbox import transaction
from delivery.inbox.statements import Statements
from delivery.postgres import database, distributed, distributed_erasure, migrations, prepared
from delivery.postgres.database import Connection, Session
from delivery.postgres.tables import metadata

COORDINATOR = os.environ.get("DELIVERY_TEST_CITUS_URL", "")
pytestmark = [
    pytest.mark.skipif(
        not COORDINATOR, reason="DELIVERY_TEST_CITUS_URL names no coordinator of a Citus cluster"
    ),
    pytest.mark.alone,  # nobody distributes tables while the database has workers
]

AGE = timedelta(seconds=45)
_SEPARATOR = "&" if urlsplit(COORDINATOR).query else "?"
RECEIVED_MS = round(RECEIVED.timestamp() * 1000)
SHARDS = 4

Hook = Callable[[Callable[[], object]], None]


@pytest.fixture(scope="module")
def schema_url() -> Iterator[str]:
    """The coordinator, with an empty schema that goes away with the module."""
    with made_schema() as url:
        yield url


@pytest.fixture
def another_schema_url() -> Iterator[str]:
    """Another one, that goes away with the test."""
    with made_schema() as url:
        yield url


@contextmanager
def made_schema() -> Iterator[str]:
    """The URL of a schema of our own, which is empty at first."""
    name = f"test_{uuid4().hex[:8]}"
    with psycopg.connect(COORDINATOR, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
    yield f"{COORDINATOR}{_SEPARATOR}options={quote(f'-csearch_path={name}')}"
    with psycopg.connect(COORDINATOR, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


@pytest.fixture(scope="module")
def filled_url(schema_url: str) -> str:
    """The same, with a log that holds a row of each outcome and is distributed only then.

    The nodes do not have the functions before, as where the database joins a cluster.
    """
    url = SecretStr(schema_url)
    migrations.upgrade(SecretStr(schema_url + quote(" -ccitus.enable_ddl_propagation=off")))
    with database.connect(url, "test") as connection:
        every_outcome.fill(connection)
    assert distributed.find(url) is None
    distributed.distribute(url, SHARDS)
    return schema_url


@pytest.fixture
def worker(filled_url: str) -> Iterator[Connection]:
    session = Session(SecretStr(filled_url), AGE)
    yield session.connection()
    session.drop()


@pytest.fixture
def rival(filled_url: str) -> Iterator[Connection]:
    session = Session(SecretStr(filled_url), AGE)
    yield session.connection()
    session.drop()


@pytest.fixture
def before_write(monkeypatch: pytest.MonkeyPatch) -> Hook:
    """Runs something once, between the next transaction's read and its write."""
    original: Callable[..., Any] = Statements.write
    waiting: list[Callable[[], object]] = []

    def write(*arguments: Any) -> Any:
        if waiting:
            waiting.pop()()
        return original(*arguments)

    monkeypatch.setattr(Statements, "write", write)
    return waiting.append


def process(connection: Connection, *contents: bytes | None, first: int) -> dict[str, int]:
    return +transaction.process(connection, Contract(), batch(*contents, first=first))


def _at(host: str, port: int) -> str:
    """The URL of a node's database."""
    url = urlsplit(COORDINATOR)
    user, at, _ = url.netloc.rpartition("@")
    return url._replace(netloc=f"{user}{at}{host}:{port}").geturl()


def _as(role: str, url: str) -> str:
    """The URL with that role, whose password is `w`."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{role}:w@{parts.netloc.rpartition('@')[2]}").geturl()


def rows(connection: Connection) -> dict[str, list[str]]:
    return {
        name: sorted(row for (row,) in connection.execute(f"SELECT t::text FROM {name} AS t"))
        for name in metadata.tables
    }


def test_a_filled_log_is_distributed_with_its_rows_and_none_stays_behind(
    run: Run, filled_url: str, worker: Connection
) -> None:
    assert stats.count(worker).outcomes == {
        "created": 4, "updated": 2, "too_late": 1, "stale": 1, "duplicate": 1, "conflict": 1,
        "rejected": 4,
    }  # fmt: skip
    left = "SELECT sum(pg_relation_size(relid)) FROM pg_partition_tree('processed_events')"
    assert worker.execute(left).fetchall() == [(0,)]
    assert run(filled_url, "verify", "--database-only")[0] == DONE
    code, said, _ = run(filled_url, "migrate", "--distributed", "--shards", "2")
    assert (code, said.splitlines()[1].startswith(f"the log is distributed over {SHARDS} ")) == (
        DONE,
        True,
    )
    assert said.splitlines()[1].endswith("already")


def test_who_distributes_hears_what_the_coordinator_should_not_wait_for(
    run: Run, filled_url: str, worker: Connection
) -> None:
    """A superuser hears it; who can't see the setting hears nothing."""
    ((conninfo,),) = worker.execute("SHOW citus.node_conninfo")
    _, _, told = run(filled_url, "migrate", "--distributed")
    assert ("ALTER SYSTEM SET citus.node_conninfo" in told) == ("tcp_user_timeout" not in conninfo)


def test_migrate_says_that_the_log_is_distributed_and_check_asks_for_it(
    run: Run, filled_url: str
) -> None:
    for arguments in (["--check"], ["--check", "--distributed"], ["status"]):
        code, said, _ = run(filled_url, "migrate", *arguments)
        assert code == DONE
        assert f"the log is distributed over {SHARDS} shards" in said


def test_each_node_but_the_coordinator_is_refused_with_the_coordinators_address(
    worker: Connection,
) -> None:
    nodes = worker.execute("SELECT nodename, nodeport FROM pg_dist_node WHERE groupid > 0")
    for host, port in nodes.fetchall():
        with pytest.raises(SettingsError, match=f"{port} is a node .* coordinator, "):
            database.connect(SecretStr(_at(host, port)), "test")


def test_records_that_are_read_again_change_no_row(worker: Connection) -> None:
    contents = [value(2000 + n, n % 7) for n in range(300)]
    assert process(worker, *contents, first=2000) == {"created": 300}
    newer = [value(2000 + n, 30) for n in range(0, 300, 3)]
    assert process(worker, *newer, *newer[:5], first=2500) == {"updated": 100, "duplicate": 5}
    before = rows(worker)
    assert process(worker, *contents, first=2000) == {"redelivered": 300}
    assert process(worker, *newer, *newer[:5], first=2500) == {"redelivered": 105}
    assert rows(worker) == before


def test_a_key_that_is_taken_in_between_is_a_duplicate_and_nothing_is_lost(
    worker: Connection, rival: Connection, before_write: Hook
) -> None:
    before_write(lambda: process(rival, value(3005), first=3100))
    contents = [value(3000 + n) for n in range(10)]
    assert process(worker, *contents, first=3000) == {"created": 9, "duplicate": 1}


def test_a_delivery_that_is_made_in_between_is_found_by_its_order(
    worker: Connection, rival: Connection, before_write: Hook
) -> None:
    before_write(lambda: process(rival, value(3205, 9), first=3300))
    contents = [value(3200 + n) for n in range(10)]
    assert process(worker, *contents, first=3200) == {"created": 9, "stale": 1}


def test_a_delivery_that_changes_in_between_is_decided_again(
    worker: Connection, rival: Connection, before_write: Hook
) -> None:
    process(worker, *[value(3400 + n) for n in range(10)], first=3400)
    before_write(lambda: process(rival, value(3405, 9), first=3500))
    newer = [value(3400 + n, 8) for n in range(10)]
    assert process(worker, *newer, first=3450) == {"updated": 9, "stale": 1}


@pytest.mark.parametrize("table", ["deliveries", "processed_events"])
def test_a_row_that_a_node_refuses_becomes_a_dead_letter_and_its_neighbours_stay(
    worker: Connection, table: str
) -> None:
    first = {"deliveries": 4000, "processed_events": 4100}[table]
    refused = first + 7
    worker.execute(f"ALTER TABLE {table} ADD CONSTRAINT not_{first} CHECK (order_id <> {refused})")
    contents = [value(first + n) for n in range(20)]
    assert process(worker, *contents, first=first) == {"created": 19, "rejected": 1}
    letter = "SELECT reason, error LIKE 'SQLSTATE 23514: %%' FROM dead_letters WHERE order_id = %s"
    assert worker.execute(letter, (refused,)).fetchall() == [("refused_by_database", True)]
    worker.execute(f"ALTER TABLE {table} DROP CONSTRAINT not_{first}")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE {} SET outcome = 'stale'",
        "DELETE FROM {}",
        "TRUNCATE {}",
    ],
)
@pytest.mark.parametrize("table", ["processed_events", "processed_events_2026_11"])
def test_the_log_is_append_only(worker: Connection, statement: str, table: str) -> None:
    with pytest.raises(InsufficientPrivilege, match="append-only"):
        worker.execute(statement.format(table))


def test_the_log_is_append_only_on_each_shard(worker: Connection) -> None:
    for table in ("processed_events", "processed_events_2026_11"):
        for statement in ("DELETE FROM %s", "TRUNCATE %s", "UPDATE %s SET outcome = ''stale''"):
            asked = f"SELECT success FROM run_command_on_shards('{table}', '{statement}')"
            assert worker.execute(asked).fetchall() == [(False,)] * SHARDS


def test_a_month_that_is_missing_is_made_on_the_nodes_and_keeps_its_rows(
    worker: Connection,
) -> None:
    ((name,),) = worker.execute(
        "SELECT to_char(now() AT TIME ZONE 'UTC' + interval '5 months', "
        "'\"processed_events_\"YYYY_MM')"
    )
    worker.execute(f"DROP TABLE {name}")
    assert worker.execute("SELECT ensure_partitions()").fetchall() == [(1,)]
    asked = f"SELECT success FROM run_command_on_shards('{name}', 'TRUNCATE %s')"
    assert worker.execute(asked).fetchall() == [(False,)] * SHARDS


@contextmanager
def logged_in(kind: str) -> Iterator[str]:
    """A new role that may log in, until the end."""
    role = f"{kind}_{uuid4().hex[:8]}"
    with psycopg.connect(COORDINATOR, autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'w'").format(sql.Identifier(role)))
        try:
            yield role
        finally:
            owner.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
            owner.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_a_worker_of_a_role_with_no_more_rights_than_it_needs_writes_on_the_nodes(
    run: Run, filled_url: str
) -> None:
    """Citus's COPY sends the nodes the columns that ours leaves out, with their defaults."""
    with logged_in("worker") as role:
        assert run(filled_url, "migrate", "--worker-role", role)[0] == DONE
        session = Session(SecretStr(_as(role, filled_url)), AGE)
        worker = session.connection()
        contents = [value(6000 + n) for n in range(20)]
        assert process(worker, *contents, first=6000) == {"created": 20}
        newer = [value(6000 + n, 30) for n in range(5)]
        assert process(worker, *newer, b"{", first=6100) == {"updated": 5, "rejected": 1}
        session.drop()


_NODE = """
SELECT groupid FROM pg_dist_placement
WHERE shardid = get_shard_id_for_distribution_column('deliveries', %s::bigint)
"""


def test_a_deadlock_of_two_nodes_is_a_race(worker: Connection, rival: Connection) -> None:
    process(worker, *[value(5000 + n) for n in range(40)], first=5000)
    nodes = {
        group: order for order in range(5000, 5040) for (group,) in worker.execute(_NODE, (order,))
    }
    first, second, *_ = nodes.values()
    touched = threading.Barrier(2)
    ends: list[str] = []

    def touch(connection: Connection, *orders: int) -> None:
        try:
            with database.transaction(connection):
                for order in orders:
                    connection.execute(
                        "UPDATE deliveries SET updated_at = now() WHERE order_id = %s", (order,)
                    )
                    if order == orders[0]:
                        touched.wait(30)
            ends.append("done")
        except RaceError as error:
            ends.append(str(error)[:14])

    other = threading.Thread(target=touch, args=(rival, second, first))
    other.start()
    touch(worker, first, second)
    other.join(30)
    assert sorted(ends) == ["SQLSTATE 40P01", "done"]


def test_the_pages_show_an_order_and_the_log(filled_url: str, worker: Connection) -> None:
    searches = ("ordered_by=31", "event_id=5f0c6f3e-43a9-4e1c-9f5b-0c6b6e0f3c55", "outcome=stale")
    paths = [
        *(f"/orders/{ORDER}", f"/api/orders/{ORDER}", "/", "/dead-letters", "/readyz", "/causes"),
        *("/dead-letters?text=JSON", "/api/v1/stats"),
        *(f"{path}?{search}" for path in ("/events", "/api/v1/events") for search in searches),
    ]
    with served(filled_url, web_show_personal_data=True) as address:
        for path in paths:
            with urlopen(address + path, timeout=30) as answer:
                assert answer.status == 200, path


def test_the_commands_that_read_say_what_they_say_on_one_machine(run: Run, filled_url: str) -> None:
    code, said, _ = run(filled_url, "history", str(ORDER), "--format", "json")
    assert (code, len(said.splitlines())) == (DONE, 7)
    assert run(filled_url, "stats", "--format", "json")[0] == DONE
    assert run(filled_url, "dead-letters", "list")[0] == DONE
    assert run(filled_url, "verify", "--database-only")[0] == DONE


@pytest.fixture
def eraser(run: Run, filled_url: str) -> Iterator[str]:
    """The URL of a role that may erase and do nothing else."""
    with logged_in("eraser") as role:
        assert run(filled_url, "migrate", "--erasure-role", role)[0] == DONE
        yield _as(role, filled_url)


Erase = Callable[..., list[int]]


@pytest.fixture
def erase(run: Run, eraser: str) -> Erase:
    """Erases with these arguments. Returns how many events, duplicates, deliveries and letters."""

    def erase(*arguments: object) -> list[int]:
        code, said, _ = run(eraser, "erase", *map(str, arguments), "--reason", "request 117")
        assert code == DONE
        return [int(line.split()[1]) for line in said.splitlines()[1:]]

    return erase


WHO: dict[str, Any] = {"orderedBy": 4711, "requestMessage": "ring the bell"}


def test_an_order_with_each_outcome_is_erased_and_comes_not_back(
    run: Run, filled_url: str, worker: Connection, erase: Erase
) -> None:
    contents = [value(8000, 5, **WHO), value(8000, 9, **WHO), value(8000, 7, **WHO),
                value(8000, 5, **WHO), value(8000, 5), b'{"event": {"orderId": 8000}}']  # fmt: skip
    process(worker, *contents, first=8000)
    assert erase("--order", 8000) == [3, 1, 1, 1]
    before = rows(worker)
    assert WHO["requestMessage"] not in str(before)
    assert process(worker, *contents, first=8000) == {"redelivered": 6}
    assert process(worker, *contents[:3], first=8050) == {"duplicate": 3}
    assert erase("--order", 8000) == [0, 0, 0, 0]
    assert before["deliveries"] == rows(worker)["deliveries"]
    assert WHO["requestMessage"] not in str(rows(worker))
    assert run(filled_url, "verify", "--database-only")[0] == DONE


def test_a_customers_orders_on_all_shards_are_erased_with_one_row_that_says_so(
    run: Run, filled_url: str, worker: Connection, eraser: str, erase: Erase
) -> None:
    cut_off = b'{"event": {"orderId": 8107, "requestMes'
    process(worker, *[value(8100 + n, **WHO) for n in range(40)], cut_off, first=8100)
    before = rows(worker)
    assert run(eraser, "erase", "--ordered-by", "4711", "--dry-run")[0] == DONE
    assert rows(worker) == before
    assert erase("--ordered-by", 4711) == [40, 0, 40, 1]
    noted = (
        "SELECT result FROM run_command_on_all_nodes($$SELECT (processed_events, deliveries)::text "
        "|| reason FROM {}.erasures WHERE deliveries > 1 ORDER BY erasure_id DESC LIMIT 1$$)"
    ).format(*worker.execute("SELECT current_schema()").fetchone() or ())
    assert set(worker.execute(noted).fetchall()) == {("(40,40)request 117",)}
    assert run(filled_url, "verify", "--database-only")[0] == DONE


@pytest.mark.parametrize("statements", FORBIDDEN.values(), ids=FORBIDDEN)
def test_even_the_owner_changes_the_log_in_no_other_way(
    worker: Connection, erase: Erase, statements: list[str]
) -> None:
    process(worker, value(1, **WHO), value(2, **WHO), first=8200)
    erase("--order", 2)
    before = rows(worker)
    one_connection = "SET LOCAL citus.multi_shard_modify_mode = 'sequential'"
    with pytest.raises(InsufficientPrivilege, match="append-only"):
        worker.execute("; ".join([one_connection, *statements]))  # one transaction
    assert rows(worker) == before


@pytest.mark.parametrize("orders", [[8300], [*range(8320, 8329)]], ids=["one order", "orders"])
def test_a_newer_event_that_a_worker_writes_meanwhile_keeps_its_delivery(
    filled_url: str, worker: Connection, rival: Connection, orders: list[int]
) -> None:
    process(worker, *[value(order, **WHO) for order in orders], first=orders[0])
    erasing = threading.Thread(target=_erase, args=(filled_url, orders))
    with rival.transaction():
        process(rival, value(orders[-1], 9, **WHO), first=orders[0] + 10)
        erasing.start()
        wait_until(lambda: _waits(worker))
    erasing.join(30)
    kept = "SELECT order_id FROM deliveries WHERE order_id = ANY(%s) AND ordered_by > 0"
    assert worker.execute(kept, (orders,)).fetchall() == [(orders[-1],)]


def test_workers_and_erasures_of_the_same_orders_leave_no_contradiction(
    run: Run, filled_url: str
) -> None:
    orders = list(range(8400, 8408))
    failures = work_and_erase(filled_url, orders, batches=20, erasures=12, partitions=(7, 8), **WHO)
    assert failures == []
    assert run(filled_url, "verify", "--database-only")[0] == DONE


def _erase(url: str, orders: list[int]) -> None:
    with database.connect(SecretStr(url), "test") as own:
        for _ in Erasure("order", "a test").erase(own, orders, []):
            pass


def _waits(connection: Connection) -> bool:
    return connection.execute("SELECT count(*) FROM citus_lock_waits").fetchone() != (0,)


_OPEN = """
SELECT success, result FROM run_command_on_all_nodes($$
    SELECT count(*) FROM pg_proc WHERE prosecdef AND pronamespace = '{}'::regnamespace
    AND has_function_privilege('public', oid, 'EXECUTE') $$)
"""


def test_a_log_that_cannot_be_erased_yet_can_be_after_the_next_migrate(
    run: Run, filled_url: str, worker: Connection, eraser: str, erase: Erase
) -> None:
    """A version that could not erase there has distributed it, or a migration says it anew."""
    ((schema,),) = worker.execute("SELECT current_schema()")
    for function, alone, on_citus in distributed_erasure.PHRASES:
        asked = "SELECT pg_get_functiondef(%s::regprocedure)"
        ((definition,),) = worker.execute(asked, (function,))
        words = (text.format(schema=schema) for text in (on_citus, alone))
        worker.execute(definition.replace(*words))
    process(worker, value(8500, **WHO), first=8500)
    code, _, error = run(eraser, "erase", "--order", "8500", "--reason", "x")
    assert (code, "run `delivery migrate` once" in error) == (USAGE, True)
    assert run(filled_url, "migrate")[0] == DONE
    assert erase("--order", 8500) == [1, 0, 1, 0]
    assert set(worker.execute(_OPEN.format(schema)).fetchall()) == {(True, "0")}


def test_a_distributed_log_gets_the_column_for_headers_and_loses_it_again(
    run: Run, another_schema_url: str
) -> None:
    url = SecretStr(another_schema_url)
    with migrations.engine(url).connect() as engine:
        command.upgrade(migrations.config(engine), "0011")
        engine.commit()
    assert run(another_schema_url, "stats")[0] == USAGE
    distributed.distribute(url, SHARDS)
    shown = "SELECT order_id, record_headers::text FROM event_history ORDER BY order_id"
    for first in (0, 10):
        assert run(another_schema_url, "migrate")[0] == DONE
        with database.connect(url, "test") as connection:
            records = [
                record(first + n, value(first + n + 1), headers=[("who", b"Mrs. Kim")] * n)
                for n in range(4)
            ]
            assert transaction.process(connection, Contract(), records)["created"] == 4
            kept = dict(connection.execute(shown).fetchall())
            assert [(kept[first + n + 1] or "").count("Mrs. Kim") for n in range(4)] == [0, 1, 2, 3]
            for _ in Erasure("order", "a test").erase(connection, [first + 2, first + 4], []):
                pass
            kept = dict(connection.execute(shown).fetchall())
            assert [kept[first + n + 1] is None for n in range(4)] == [True, True, False, True]
        assert run(another_schema_url, "verify", "--database-only")[0] == DONE
        assert run(another_schema_url, "downgrade", "0011")[0] == DONE


def test_a_transaction_that_is_prepared_and_not_ended_is_named_in_one_warning(
    filled_url: str, worker: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepared, "_LEFT_BEHIND", prepared._LEFT_BEHIND.replace("'3 s'", "'0 s'"))
    ((host, port),) = worker.execute(
        "SELECT nodename, nodeport FROM pg_dist_node WHERE groupid > 0 ORDER BY nodeid LIMIT 1"
    )
    node, gid = _at(host, port), f"left-behind-{uuid4().hex}"
    with psycopg.connect(node, autocommit=True) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT pg_current_xact_id()")
        connection.execute(sql.SQL("PREPARE TRANSACTION {}").format(sql.Literal(gid)))
        try:
            watch = prepared.PreparedWatch(SecretStr(filled_url), lambda: worker)
            with capture_logs() as logs:
                watch.look()
                watch.look()
        finally:
            connection.execute(sql.SQL("ROLLBACK PREPARED {}").format(sql.Literal(gid)))
    warned = [line for line in logs if line.get("transaction") == gid]
    assert [(line["log_level"], line["node"]) for line in warned] == [("warning", f"{host}:{port}")]


_END_SESSIONS = """
SELECT run_command_on_workers($$
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'citus_internal%' $$)
"""


def test_nodes_that_end_their_sessions_in_between_are_an_outage_and_nothing_is_lost(
    filled_url: str, worker: Connection, rival: Connection, before_write: Hook
) -> None:
    contents = [value(9000 + n) for n in range(40)]
    before_write(lambda: rival.execute(_END_SESSIONS))
    with pytest.raises(UnavailableError):
        process(worker, *contents, first=9000)
    assert process(worker, *contents, first=9000) == {"created": 40}


def test_a_shard_that_moves_to_another_node_beside_a_worker_loses_nothing(
    run: Run, filled_url: str, worker: Connection, rival: Connection
) -> None:
    asked = """
        SELECT shardid, a.nodename, a.nodeport, b.nodename, b.nodeport
        FROM pg_dist_shard JOIN pg_dist_placement USING (shardid)
        JOIN pg_dist_node a USING (groupid)
        JOIN pg_dist_node b ON b.shouldhaveshards AND b.groupid <> a.groupid
        WHERE logicalrelid = 'deliveries'::regclass ORDER BY shardid LIMIT 1
    """
    (found,) = worker.execute(asked)
    mode = "auto" if worker.execute("SHOW wal_level").fetchone() == ("logical",) else "block_writes"
    ended = threading.Event()

    def move() -> None:
        move = "SELECT citus_move_shard_placement(%s, %s, %s, %s, %s, shard_transfer_mode => %s)"
        try:
            rival.execute(move, (*found, mode))
        finally:
            ended.set()

    moving = threading.Thread(target=move)
    moving.start()
    batches = 0
    while batches < 20 or not ended.is_set():
        contents = [value(9100 + n % 40, batches) for n in range(60)]
        process(worker, *contents, first=9100 + batches * 60)
        batches += 1
    moving.join(60)
    assert worker.execute(asked).fetchone() != found
    count = "SELECT count(*) FROM processed_events WHERE order_id BETWEEN 9100 AND 9139"
    assert worker.execute(count).fetchall() == [(batches * 40,)]
    assert run(filled_url, "verify", "--database-only")[0] == DONE


@pytest.mark.kafka
def test_a_worker_drains_a_topic_and_verify_accounts_for_records_and_announcements(
    monkeypatch: pytest.MonkeyPatch,
    run: Run,
    another_schema_url: str,
    kafka_server: KafkaServer,
    make_topic: Callable[[int], str],
) -> None:
    url, topic, announced = another_schema_url, make_topic(2), make_topic(1)
    with closing(KafkaProducer(bootstrap_servers=kafka_server.bootstrap_servers)) as producer:
        for number in range(200):
            content = value(12_000 + number % 150) if number else b"{"
            producer.send(topic, content, partition=number % 2, timestamp_ms=RECEIVED_MS)
        producer.flush()
    monkeypatch.setenv("DELIVERY_KAFKA_BOOTSTRAP_SERVERS", kafka_server.bootstrap_servers)
    monkeypatch.setenv("DELIVERY_KAFKA_TOPIC", topic)
    monkeypatch.setenv("DELIVERY_KAFKA_GROUP_ID", topic)
    monkeypatch.setenv("DELIVERY_ANNOUNCE_TOPIC", announced)
    assert run(url, "migrate", "--distributed", "--shards", "2")[0] == DONE
    code, said, _ = run(url, "worker", "--drain")
    assert (code, said.startswith("200 records read")) == (DONE, True)
    assert run(url, "announce", "--drain")[0] == DONE
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM announcements").fetchall() == [(150,)]
    assert run(url, "verify")[0] == DONE
    assert run(url, "verify", "--since", "1h")[0] == DONE
    code, _, told = run(url, "rewind")
    assert (code, "nothing to do" in told, "`delivery verify` names them" in told) == (
        DONE,
        True,
        True,
    )


def test_what_a_service_before_knew_is_taken_over_once(
    run: Run, filled_url: str, tmp_path: Path
) -> None:
    lines = [
        {"order_id": 13_000 + n, "event_time": "2026-11-01T00:00:00Z", "product_id": n,
         "status": "dispatched" if n % 2 else "pending"}
        for n in range(20)
    ]  # fmt: skip
    (baseline := tmp_path / "baseline.jsonl").write_text("\n".join(map(json.dumps, lines)))
    for known in ("imported: 20, known before: 0", "imported: 0, known before: 20"):
        code, said, told = run(filled_url, "import", str(baseline))
        assert (code, known in said + told) == (DONE, True)
    assert run(filled_url, "verify", "--database-only")[0] == DONE


def test_an_owner_who_is_no_superuser_distributes_grants_and_erases(run: Run) -> None:
    """But for a role's defaults on the nodes: the statements are said."""
    with logged_in("owner") as owner, logged_in("worker") as name, logged_in("eraser") as eraser:
        schema = f"owned_{uuid4().hex[:8]}"
        url = _as(owner, f"{COORDINATOR}{_SEPARATOR}options={quote(f'-csearch_path={schema}')}")
        with psycopg.connect(COORDINATOR, autocommit=True) as superuser:
            superuser.execute(f"CREATE SCHEMA {schema} AUTHORIZATION {owner}")
            code, _, told = run(url, "migrate", "--distributed", "--shards", "2")
            assert (code, told) == (DONE, "")
            code, _, error = run(url, "migrate", "--worker-role", name)
            assert (code, f'ALTER ROLE "{name}" SET' in error) == (USAGE, True)
            superuser.execute(error.partition("Have a superuser run: ")[2])
            assert run(url, "migrate", "--worker-role", name)[0] == DONE
            assert run(url, "migrate", "--erasure-role", eraser)[0] == DONE
            session = Session(SecretStr(_as(name, url)), AGE)
            assert process(session.connection(), value(1), value(2), first=0) == {"created": 2}
            assert session.connection().execute("SELECT ensure_partitions()").fetchone() == (0,)
            session.drop()
            assert run(_as(eraser, url), "erase", "--order", "1", "--reason", "x")[0] == DONE
            assert run(url, "verify", "--database-only")[0] == DONE


PAST = Month.of(datetime.now(UTC).date().replace(day=1) - timedelta(days=70))


def in_month(month: Month, order_id: int, day: int = 3) -> bytes:
    time = month.first.replace(day=day).isoformat()
    return json.dumps({"event": {"orderId": order_id}, "createdAt": time}).encode()


def test_a_month_leaves_the_nodes_and_its_records_are_known_still(
    run: Run, filled_url: str, worker: Connection, tmp_path: Path
) -> None:
    contents = [in_month(PAST, 7000 + n) for n in range(40)]
    assert process(worker, *contents, in_month(Month(1999, 5), 7100), first=7000) == {"created": 41}
    code, said, noted = run(
        filled_url, "archive", "--before", str(PAST.following), "--to", str(tmp_path)
    )
    assert (code, said.startswith(f"{PAST}: 40 events in ")) == (DONE, True)
    assert "1999-05: in the default partition" in noted
    before = rows(worker)
    assert process(worker, *contents, first=7000) == {"redelivered": 40}
    assert process(worker, in_month(PAST, 7000, day=2), first=7200) == {"stale": 1}
    assert before["deliveries"] == rows(worker)["deliveries"]
    assert run(filled_url, "verify", "--database-only")[0] == DONE


def test_a_month_stays_on_the_nodes_while_a_worker_writes_to_it(
    run: Run, filled_url: str, worker: Connection, rival: Connection, tmp_path: Path
) -> None:
    month = PAST.following
    process(worker, in_month(month, 7300), first=7300)
    with rival.transaction():
        process(rival, in_month(month, 7301), first=7301)
        code, _, noted = run(
            filled_url, "archive", "--before", str(month.following), "--to", str(tmp_path)
        )
        assert (code, "is not taken out of the log" in noted) == (UNREACHABLE, True)
    code, said, _ = run(
        filled_url, "archive", "--before", str(month.following), "--to", str(tmp_path)
    )
    assert (code, said.startswith(f"{month}: 2 events in ")) == (DONE, True)
