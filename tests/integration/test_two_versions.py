"""A schema that is later than the code: the schema is migrated first, and the workers follow."""

import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from delivery import cli
from delivery.cli import DONE, NO, USAGE
from delivery.errors import NotMigratedError
from delivery.postgres import database, migrations

Run = Callable[..., tuple[int, str]]
Later = Callable[[str], None]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a command on the database of that URL: its exit code, and all that it said."""

    def run(url: str, *arguments: str) -> tuple[int, str]:
        monkeypatch.setenv("DELIVERY_DATABASE_URL", url)
        monkeypatch.setattr(sys, "argv", ["delivery", *arguments])
        code = cli.run()
        said = capfd.readouterr()
        return code, said.out + said.err

    return run


def make_later(url: str, oldest_code: str | None) -> None:
    """The database as a later version's migration leaves it."""
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        if oldest_code is not None:
            connection.execute("INSERT INTO schema_revisions VALUES ('9999', %s)", (oldest_code,))


def test_code_runs_on_a_later_schema_that_says_so(database_url: str, run: Run) -> None:
    make_later(database_url, oldest_code=database.REVISION)
    for command in (["stats"], ["history"], ["verify", "--database-only"], ["migrate", "--check"]):
        assert run(database_url, *command)[0] == DONE, command
    code, said = run(database_url, "migrate", "--worker-role", "nobody")
    assert code == DONE
    assert "is at revision 9999, of a later version; this version runs on it" in said


@pytest.mark.parametrize("oldest_code", ["9998", None])
def test_code_does_not_run_on_a_later_schema_that_breaks_it(
    database_url: str, run: Run, oldest_code: str | None
) -> None:
    make_later(database_url, oldest_code)
    for command in (["stats"], ["migrate"], ["migrate", "status"], ["migrate", "--sql"]):
        code, said = run(database_url, *command)
        assert (code, said.count("\n")) == (USAGE, 1), said
        assert f"at revision 9999, this version runs on {database.REVISION}" in said
        assert "install" in said


def test_code_does_not_run_on_an_earlier_schema(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0005'")
    with (
        database.connect(SecretStr(database_url), "test") as connection,
        pytest.raises(NotMigratedError, match="run `delivery migrate`"),
    ):
        database.require_migrated(connection)


def test_each_migration_says_which_code_runs_on_it(database_url: str) -> None:
    found = migrations.status(SecretStr(database_url)).migrations
    with psycopg.connect(database_url) as connection:
        noted = connection.execute("SELECT revision, oldest_code FROM schema_revisions").fetchall()
    told = {one.revision: one.oldest_code for one in found if one.oldest_code is not None}
    assert dict(noted) == told
    assert set(told) == {one.revision for one in found if one.revision > "0005"}
    assert all(oldest <= revision for revision, oldest in told.items())


def test_check_and_status_tell_what_is_pending(empty_database_url: str, run: Run) -> None:
    code, said = run(empty_database_url, "migrate", "--check")
    assert code == NO
    assert said.startswith("the schema is at revision none; pending: 0001, ")
    assert "pending" in run(empty_database_url, "migrate", "status")[1]
    assert run(empty_database_url, "migrate")[0] == DONE
    assert run(empty_database_url, "migrate", "--check")[0] == DONE
    code, said = run(empty_database_url, "migrate", "status")
    assert code == DONE
    assert "pending" not in said


def test_the_statements_that_are_printed_make_the_same_schema(
    empty_database_url: str, run: Run
) -> None:
    url = empty_database_url
    code, statements = run(url, "migrate", "--sql")
    assert code == DONE
    assert run(url, "migrate", "--check")[0] == NO  # nothing was changed
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statements)
    assert run(url, "migrate", "--check")[0] == DONE
    assert run(url, "stats")[0] == DONE
    assert run(url, "migrate", "--sql") == (DONE, "")
    with psycopg.connect(url) as connection:
        noted = connection.execute("SELECT revision FROM schema_revisions").fetchall()
    assert (database.REVISION,) in noted


def test_a_downgrade_is_refused_while_a_worker_is_connected(database_url: str, run: Run) -> None:
    url = SecretStr(database_url)
    with database.connect(url, database.APPLICATION):
        code, said = run(database_url, "downgrade", "0005")
        assert code == USAGE
        assert "1 sessions of workers or announcers are connected" in said
    assert run(database_url, "downgrade", "0005")[0] == DONE
    assert run(database_url, "stats")[0] == USAGE
    assert run(database_url, "migrate")[0] == DONE


@pytest.mark.parametrize("revision", ["0000", "9999", "base", database.REVISION, "-1"])
def test_a_downgrade_to_no_earlier_revision_is_refused(
    database_url: str, run: Run, revision: str
) -> None:
    code, said = run(database_url, "downgrade", "--", revision)
    assert code == USAGE
    assert "earlier ones: 0001, 0002" in said


def test_a_later_schema_is_taken_back_by_its_own_version_alone(database_url: str, run: Run) -> None:
    make_later(database_url, oldest_code=database.REVISION)
    code, said = run(database_url, "downgrade", "0005")
    assert (code, said.count("\n")) == (USAGE, 1), said
    assert "only that version's `delivery downgrade` knows the way back" in said


def test_an_empty_database_has_no_earlier_revision(empty_database_url: str, run: Run) -> None:
    code, said = run(empty_database_url, "downgrade", "0005")
    assert (code, said.count("\n")) == (USAGE, 1), said
    assert "at revision none; earlier ones: none" in said


def test_the_template_of_a_migration_asks_for_its_oldest_code() -> None:
    template = Path(migrations.__file__).parents[2] / "alembic/script.py.mako"
    assert "\noldest_code = " in template.read_text()
