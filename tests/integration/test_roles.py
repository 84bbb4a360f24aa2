"""What the roles of workers and readers may do, on a real PostgreSQL, through the real commands."""

import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import NamedTuple

import psycopg
import pytest
from letters import TESTER
from psycopg import sql
from psycopg.errors import InsufficientPrivilege
from pydantic import SecretStr
from records import at, batch, value

from delivery import cli
from delivery.cli import DONE, USAGE
from delivery.dead_letters import queries, resolve
from delivery.domain.event import Contract
from delivery.errors import SettingsError
from delivery.inbox import transaction
from delivery.inbox.dead_letters import Resolver
from delivery.postgres import database
from delivery.postgres.database import Connection, Session
from delivery.postgres.partitions import Partitions
from delivery.postgres.roles import grant

LENIENT = Contract(max_future_skew=timedelta(days=1))
FUTURE = 12 * 60  # minutes: an event time an hour ahead of the records' own

Delivery = Callable[..., int]


class Roles(NamedTuple):
    """Names of roles. Roles belong to the server, so that each test has its own."""

    worker: str
    reader: str


@pytest.fixture
def delivery(monkeypatch: pytest.MonkeyPatch) -> Delivery:
    """Runs a command on the database of that URL, and returns its exit code."""

    def run(url: str, *arguments: str) -> int:
        monkeypatch.setenv("DELIVERY_DATABASE_URL", url)
        monkeypatch.setattr(sys, "argv", ["delivery", *arguments])
        return cli.run()

    return run


@pytest.fixture
def roles(database_url: str) -> Iterator[Roles]:
    """Two roles without any rights yet."""
    name = database_url.rpartition("/")[2]
    roles = Roles(f"{name}_worker", f"{name} reader")  # a name may need quotes
    with psycopg.connect(database_url, autocommit=True) as connection:
        for role in roles:
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
        yield roles
        for role in roles:
            for drop in ("DROP OWNED BY {}", "DROP ROLE {}"):
                connection.execute(sql.SQL(drop).format(sql.Identifier(role)))


@pytest.fixture
def granted(delivery: Delivery, database_url: str, roles: Roles) -> Roles:
    """The roles, after `delivery migrate` gave them their rights."""
    options = ("--worker-role", roles.worker, "--reader-role", roles.reader)
    assert delivery(database_url, "migrate", *options) == DONE
    return roles


def url_of(role: str, url: str) -> str:
    return url.replace("//postgres@", f"//{role.replace(' ', '%20')}@")


@pytest.fixture
def as_worker(granted: Roles, database_url: str) -> Iterator[Connection]:
    """A worker's session, of the worker's role."""
    session = Session(SecretStr(url_of(granted.worker, database_url)), timedelta(seconds=45))
    yield session.connection()
    session.drop()


# The worker's role


def test_a_worker_writes_every_outcome_with_its_roles_rights(
    as_worker: Connection, connection: Connection
) -> None:
    connection.execute("ALTER TABLE deliveries ADD CHECK (quantity < 1000)")
    database.require_migrated(as_worker)
    first = batch(value(1), value(2, 5), value(3))
    assert +transaction.process(as_worker, Contract(), first) == {"created": 3}
    connection.execute("UPDATE deliveries SET status = 'dispatched' WHERE order_id = 3")
    contents = [
        value(1, 1), value(2, 4), value(3, 9), value(1), value(1, 0, quantity=7), b"no JSON",
        value(4, quantity=1000), value(5, FUTURE),
    ]  # fmt: skip
    second = batch(*contents, first=3)
    assert +transaction.process(as_worker, Contract(), second) == {
        "updated": 1, "stale": 1, "too_late": 1, "duplicate": 1, "conflict": 1, "rejected": 3,
    }  # fmt: skip
    assert +transaction.process(as_worker, Contract(), [*first, *second]) == {"redelivered": 11}
    assert +transaction.process(as_worker, LENIENT, second) == {"created": 1, "redelivered": 7}


def test_a_worker_makes_the_partitions_that_its_role_could_not(
    as_worker: Connection, connection: Connection
) -> None:
    name = f"processed_events_{at(0):%Y_%m}"
    connection.execute(f"DROP TABLE {name}")
    Partitions().ensure(as_worker)
    ((owner,),) = connection.execute(
        "SELECT relowner::regrole::text FROM pg_class WHERE oid = %s::regclass", (name,)
    )
    assert owner == "postgres"
    transaction.process(as_worker, Contract(), batch(value(1)))
    assert connection.execute(f"SELECT order_id FROM {name}").fetchall() == [(1,)]


def test_a_workers_role_repairs(as_worker: Connection) -> None:
    transaction.process(as_worker, Contract(), batch(value(1, FUTURE), b"no JSON"))
    first, second = queries.open_ids(as_worker)
    resolve.discard(as_worker, [second], Resolver("a test", "a test order"))
    ((letter,),) = resolve.replay(as_worker, LENIENT, [first], TESTER)
    assert letter.resolution == "replayed"


LOGS = ("processed_events", "processed_events_default", "duplicate_events", "dead_letters")
CHANGES = [
    *(
        f"{change} {table}"
        for table in LOGS
        for change in ("DELETE FROM", "TRUNCATE", "DROP TABLE", "LOCK TABLE")
    ),
    "UPDATE processed_events SET outcome = 'stale'",
    "UPDATE processed_events_default SET outcome = 'stale'",
    "UPDATE duplicate_events SET order_id = 1",
    "UPDATE dead_letters SET record_value = ''",
    "UPDATE dead_letters SET record_offset = 99",
    "UPDATE dead_letters SET consumed_at = now()",
    "UPDATE deliveries SET status = 'cancelled'",
    "INSERT INTO deliveries (order_id, event_time, status) VALUES (9, now(), 'delivered')",
    "INSERT INTO deliveries (order_id, event_time, updated_at) VALUES (9, now(), now())",
    "INSERT INTO dead_letters (resolution, resolved_at) VALUES ('discarded', now())",
    "DELETE FROM deliveries",
    "TRUNCATE deliveries",
    "ALTER TABLE processed_events DISABLE TRIGGER ALL",
    "ALTER TABLE processed_events DETACH PARTITION processed_events_default",
    "CREATE TRIGGER mine BEFORE INSERT ON processed_events EXECUTE FUNCTION refuse_change()",
    "DROP FUNCTION refuse_change() CASCADE",
    "UPDATE alembic_version SET version_num = '0002'",
    "SET session_replication_role = 'replica'",
]


def test_a_workers_role_can_not_change_the_log_even_where_the_triggers_are_off(
    as_worker: Connection, connection: Connection
) -> None:
    transaction.process(as_worker, Contract(), batch(value(1), value(1, quantity=9), b"no JSON"))
    for name in ("processed_events", "processed_events_default"):
        connection.execute(f"ALTER TABLE {name} DISABLE TRIGGER ALL")
    for change in CHANGES:
        with pytest.raises(InsufficientPrivilege), as_worker.transaction():
            as_worker.execute(change)


def test_rights_that_a_version_before_gave_are_taken_back(
    granted: Roles, connection: Connection, database_url: str
) -> None:
    connection.execute(f"GRANT INSERT ON deliveries, dead_letters TO {granted.worker}")
    grant(SecretStr(database_url), "worker", granted.worker)
    may = connection.execute(
        "SELECT has_table_privilege(%(role)s, 'deliveries', 'INSERT'), "
        "has_column_privilege(%(role)s, 'deliveries', 'status', 'INSERT'), "
        "has_column_privilege(%(role)s, 'dead_letters', 'resolution', 'INSERT')",
        {"role": granted.worker},
    ).fetchone()
    assert may == (False, False, False)


# The reader's role

LOOKS = [
    ["history"],
    ["history", "1", "--format", "csv"],
    ["stats"],
    ["dead-letters", "list", "--all"],
    ["dead-letters", "list", "--format", "json"],
    ["dead-letters", "show", "1"],
]


@pytest.fixture
def with_a_letter(connection: Connection) -> None:
    """One letter that becomes an event when it is replayed with what is set by default."""
    strict = Contract(max_future_skew=timedelta(0))
    transaction.process(connection, strict, batch(value(1), value(2, 11 * 60 + 1)))


@pytest.mark.usefixtures("with_a_letter")
def test_a_reader_looks_at_everything(
    granted: Roles, database_url: str, delivery: Delivery, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    for command in LOOKS:
        assert delivery(url_of(granted.reader, database_url), *command) == DONE
        told = capsys.readouterr()
        assert (bool(told.out), told.err) == (True, "")


@pytest.mark.usefixtures("with_a_letter")
@pytest.mark.parametrize(
    "command",
    [
        ["dead-letters", "replay", "--all"],
        ["dead-letters", "replay", "1"],
        ["dead-letters", "discard", "1", "--note", "a test order"],
    ],
    ids=" ".join,
)
def test_a_reader_who_writes_learns_which_right_is_missing(
    granted: Roles,
    database_url: str,
    delivery: Delivery,
    capsys: pytest.CaptureFixture[str],
    contents: Callable[[], dict[str, list[str]]],
    command: list[str],
) -> None:
    before = contents()
    capsys.readouterr()
    assert delivery(url_of(granted.reader, database_url), *command) == USAGE
    told = capsys.readouterr()
    assert (told.out, told.err.count("delivery: permission denied for table")) == ("", 1)
    assert contents() == before


# Roles that can't be given rights


@pytest.mark.parametrize("option", ["--worker-role", "--reader-role"])
def test_an_unknown_role_is_one_line(
    database_url: str, delivery: Delivery, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    for name in ("nobody's", "", "public", "none", '"; DROP TABLE deliveries; --'):
        assert delivery(database_url, "migrate", option, name) == USAGE
        assert capsys.readouterr().err == f"delivery: there is no role {name!r}: create it first\n"


def test_a_role_that_could_change_the_log_anyway_is_refused(
    database_url: str, roles: Roles, connection: Connection
) -> None:
    own, group = (sql.Identifier(name) for name in roles)
    connection.execute(sql.SQL("ALTER TABLE processed_events OWNER TO {}").format(group))
    connection.execute(sql.SQL("GRANT {} TO {}").format(group, own))
    try:
        for role in ("postgres", *roles):
            with pytest.raises(SettingsError, match="could change the log"):
                grant(SecretStr(database_url), "worker", role)
    finally:
        connection.execute("ALTER TABLE processed_events OWNER TO postgres")


def test_one_role_may_be_both(database_url: str, roles: Roles, delivery: Delivery) -> None:
    options = ("--worker-role", roles.worker, "--reader-role", roles.worker)
    assert delivery(database_url, "migrate", *options) == DONE
    with database.connect(SecretStr(url_of(roles.worker, database_url)), "test") as as_worker:
        transaction.process(as_worker, Contract(), batch(value(1)))


def test_two_deployments_at_once_take_turns(database_url: str, roles: Roles) -> None:
    start, failures = threading.Barrier(4), list[BaseException]()

    def deploy() -> None:
        try:
            start.wait(10)
            for _ in range(5):
                grant(SecretStr(database_url), "worker", roles.worker)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=deploy) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
