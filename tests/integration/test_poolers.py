"""Behind a real pgbouncer, in session mode and in transaction mode, all is as without one."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import psycopg
import pytest
from every_command import AGE, DEFAULTS, RECORDS, Rows, Run, Said, read, rows, set_defaults, write
from pooler import needs_pgbouncer, pooled
from pydantic import SecretStr
from records import at, batch, value

from delivery.cli import DONE
from delivery.domain.event import Contract
from delivery.inbox import transaction
from delivery.postgres import database
from delivery.postgres.database import Connection, Session

pytestmark = needs_pgbouncer

Pooler = Callable[..., str]

MODES = ["session", "transaction"]
ORDERS = range(1, 11)


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[Pooler]:
    """Puts a pgbouncer in front of a URL, and gives the URL of the pooler."""
    with ExitStack() as stack:

        def put(url: str, mode: str, size: int = 20) -> str:
            return stack.enter_context(pooled(url, tmp_path, mode, size))

        yield put


@pytest.mark.parametrize(
    ("mode", "size"), [("session", 20), ("transaction", 1), ("transaction", 20)]
)
def test_the_commands_say_the_same(
    run: Run, log: str, said: Said, behind: Pooler, mode: str, size: int
) -> None:
    if not said:
        said.update(read(run, log))
    url = behind(log, mode, size)
    for _ in range(2):
        assert read(run, url) == said


@pytest.mark.parametrize("mode", MODES)
def test_a_worker_writes_the_same_at_each_run(
    connection: Connection, database_url: str, expected: list[Rows], behind: Pooler, mode: str
) -> None:
    url = behind(database_url, mode, size=1)
    write(url)
    assert rows(connection) == expected
    for _ in range(3):
        worker = Session(SecretStr(url), AGE)
        outcomes = transaction.process(worker.connection(), Contract(), RECORDS)
        assert +outcomes == {"redelivered": len(RECORDS)}
        worker.drop()


@pytest.mark.parametrize(("mode", "size"), [("session", 2), ("transaction", 1), ("transaction", 2)])
def test_two_workers_share_the_servers_sessions(
    connection: Connection, database_url: str, behind: Pooler, mode: str, size: int
) -> None:
    workers = [Session(SecretStr(behind(database_url, mode, size)), AGE)]
    workers.append(Session(workers[0].url, AGE))

    def consume(partition: int) -> None:
        own = workers[partition].connection()
        for first in range(0, 500, 10):
            records = batch(*(value(n, first) for n in ORDERS), first=first, partition=partition)
            transaction.process(own, Contract(), records)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(consume, range(2)))
    for worker in workers:
        worker.drop()
    logged = connection.execute("SELECT count(*) FROM event_history").fetchone()
    updated = connection.execute("SELECT event_time FROM deliveries").fetchall()
    assert (logged, updated) == ((1000,), [(at(490),)] * 10)


@pytest.mark.parametrize("mode", MODES)
def test_an_erasure_is_as_without_one(
    connection: Connection, database_url: str, behind: Pooler, run: Run, mode: str
) -> None:
    transaction.process(connection, Contract(), batch(*(value(n, orderedBy=31) for n in ORDERS)))
    url = behind(database_url, mode, size=1)
    erase = ("erase", "--ordered-by", "31", "--reason", "a test")
    said = [run(url, *erase, *options) for options in (("--dry-run",), (), ())]
    assert [(code, out.split()[-7]) for code, out, _ in said] == [
        (DONE, n) for n in ("10", "10", "0")
    ]
    erased = "SELECT count(erasure_id), (SELECT count(ordered_by) FROM deliveries)"
    assert connection.execute(f"{erased} FROM processed_events").fetchone() == (10, 0)


CHANGED = "SELECT name, setting FROM pg_settings WHERE source = 'session' ORDER BY 1"


@pytest.mark.parametrize("mode", MODES)
def test_a_neighbour_inherits_nothing(run: Run, log: str, behind: Pooler, mode: str) -> None:
    url = behind(log, mode, size=1)
    neighbour = partial(psycopg.connect, url, prepare_threshold=None, application_name="neighbour")
    with neighbour(autocommit=True) as first:
        before = first.execute(CHANGED).fetchall()
        ((server,),) = first.execute("SELECT pg_backend_pid()")
    worker = Session(SecretStr(url), AGE)
    database.require_migrated(worker.connection())
    if mode == "session":
        worker.drop()
    assert run(url, "history")[0] == run(url, "verify", "--database-only")[0] == DONE
    with neighbour(autocommit=True) as second:
        assert second.execute("SELECT pg_backend_pid()").fetchone() == (server,)
        assert second.execute(CHANGED).fetchall() == before
        assert second.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)
    worker.drop()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("defaults", DEFAULTS.values(), ids=DEFAULTS)
def test_no_default_decides_there_either(
    connection: Connection,
    database_url: str,
    expected: list[Rows],
    behind: Pooler,
    mode: str,
    defaults: dict[str, str],
) -> None:
    # A server that ends idle sessions is none to put a pooler in front of: PostgreSQL's manual.
    set_defaults(connection, {**defaults, "idle_session_timeout": "0"})
    write(behind(database_url, mode))
    assert rows(connection) == expected


def test_an_empty_database_is_migrated_there(
    empty_database_url: str, run: Run, behind: Pooler
) -> None:
    url = behind(empty_database_url, "transaction")
    assert [run(url, "migrate")[:1] for _ in range(2)] == [(DONE,), (DONE,)]
    with database.connect(SecretStr(empty_database_url), "test") as connection:
        database.require_migrated(connection)
