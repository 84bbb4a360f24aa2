"""What the tests with a database or a broker share."""

import sys
from collections.abc import Iterator

import every_outcome
import psycopg
import pytest
from every_command import BYTES, Rows, Run, Said, as_user, rows, write
from psycopg import sql
from pydantic import SecretStr
from restored_logs import restored

from delivery import cli
from delivery.embedded.postgres import PostgresServer
from delivery.postgres import database, migrations, roles


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs a command on the database of that URL: its exit code, stdout and stderr."""

    def run(url: str, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setenv("DELIVERY_DATABASE_URL", url)
        monkeypatch.setattr(sys, "argv", ["delivery", *arguments])
        capsys.readouterr()
        code = cli.run()
        return code, *capsys.readouterr()

    with restored():
        yield run


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def said(log: str) -> Said:
    """What the commands say, so that each is run once with nobody's defaults."""
    return {}


@pytest.fixture(scope="session")
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


@pytest.fixture
def operator_url(database_url: str) -> Iterator[str]:
    """The database as the role of `delivery migrate --operator-role`."""
    role = f"{database_url.rpartition('/')[2]}_operator"
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
        roles.grant(SecretStr(database_url), "operator", role)
        yield as_user(role, database_url)
        owner.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
        owner.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
