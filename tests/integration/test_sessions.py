"""No default of a role, a database or a server decides what our sessions do."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from every_command import (
    AGE,
    BYTES,
    DEFAULTS,
    RECORDS,
    Rows,
    Run,
    Said,
    as_user,
    read,
    reset_defaults,
    rows,
    set_defaults,
    write,
)
from pydantic import SecretStr
from schema_dump import dumped
from served import wait_until

from delivery.cli import DONE, USAGE
from delivery.dead_letters import queries
from delivery.domain.event import Contract
from delivery.embedded import postgres
from delivery.embedded.postgres import PostgresServer
from delivery.errors import UnavailableError
from delivery.inbox import transaction
from delivery.postgres import database, durability, migrations, session
from delivery.postgres.database import Connection, Session
from delivery.postgres.roles import grant

each_kind = pytest.mark.parametrize("defaults", DEFAULTS.values(), ids=DEFAULTS)


# What reads says the same


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
        grant(SecretStr(database_url), "worker", role)
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


def test_a_worker_compresses_large_payloads_by_lz4_where_the_server_can(
    connection: Connection, database_url: str
) -> None:
    query = "SELECT enumvals FROM pg_settings WHERE name = 'default_toast_compression'"
    ((methods,),) = connection.execute(query).fetchall()
    worker = Session(SecretStr(database_url), AGE)
    try:
        used = show(worker.connection(), "default_toast_compression")
    finally:
        worker.drop()
    assert used == ("lz4" if "lz4" in methods else "pglz")


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


class DyingError(Exception):
    """What psycopg makes of a server that answers a command several times."""


_DOWN = psycopg.errors.InternalError_("postmaster was shut down, exiting")


def test_an_internal_error_that_ends_a_transaction_is_an_outage_on_citus_alone(
    connection: Connection,
) -> None:
    with pytest.raises(psycopg.errors.InternalError_), database.transaction(connection):
        raise _DOWN
    connection.is_citus = True
    with pytest.raises(UnavailableError, match="postmaster"), database.transaction(connection):
        raise _DOWN
    with database.transaction(connection):
        with pytest.raises(psycopg.errors.InternalError_), connection.transaction():
            raise _DOWN  # in a savepoint: a row may be to blame, which is found out by another way
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_whatever_ends_a_transaction_whose_connection_broke_is_an_outage_on_citus(
    connection: Connection, database_url: str
) -> None:
    connection.is_citus = True
    with pytest.raises(DyingError), database.transaction(connection):
        raise DyingError

    def die() -> None:
        with psycopg.connect(database_url) as other:
            other.execute("SELECT pg_terminate_backend(%s, 10000)", (connection.info.backend_pid,))
        raise DyingError

    with pytest.raises(UnavailableError, match="went away"), database.transaction(connection):
        die()
