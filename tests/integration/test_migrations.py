"""The schema as the migrations build it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from every_command import Run
from psycopg import sql
from pydantic import SecretStr

from delivery.cli import NO as ANSWER_IS_NO
from delivery.cli import USAGE
from delivery.errors import UnavailableError
from delivery.postgres import database, migrations, tables
from delivery.postgres.database import Connection

LOG = "processed_events"


def test_the_declared_tables_are_the_migrated_ones(database_url: str) -> None:
    with migrations.engine(SecretStr(database_url)).connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_name": tables.is_declared, "compare_server_default": True}
        )
        assert compare_metadata(context, tables.metadata) == []


def test_the_revision_the_code_needs_is_the_head_of_the_migrations(database_url: str) -> None:
    with migrations.engine(SecretStr(database_url)).connect() as connection:
        scripts = ScriptDirectory.from_config(migrations.config(connection))
    assert scripts.get_current_head() == database.REVISION


def test_a_downgrade_leaves_nothing_behind_and_can_be_upgraded_again(database_url: str) -> None:
    with migrations.engine(SecretStr(database_url)).connect() as connection:
        command.downgrade(migrations.config(connection), "base")
    with psycopg.connect(database_url) as connection:
        left = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
            "UNION SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        ).fetchall()
    assert {name for (name,) in left} == {"alembic_version", "alembic_version_pkc"}
    assert migrations.upgrade(SecretStr(database_url)) == ("none", database.REVISION)


def test_a_log_that_is_not_distributed_is_said_so_and_needs_citus_to_be(
    run: Run, database_url: str
) -> None:
    code, said, _ = run(database_url, "migrate", "--check", "--distributed")
    assert (code, said.splitlines()[-1]) == (ANSWER_IS_NO, "the log is not distributed")
    code, _, error = run(database_url, "migrate", "--distributed")
    assert (code, "CREATE EXTENSION citus" in error) == (USAGE, True)


COLUMNS = """order_id, event_time, outcome, payload::text, record_topic, record_partition,
             record_offset, record_time, consumed_at"""


def test_rows_of_an_older_schema_stay_as_they_are(empty_database_url: str) -> None:
    url = SecretStr(empty_database_url)
    _migrate(url, command.upgrade, "0001")
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        _insert(connection, "2026-11-01T00:00:00Z")
        _insert(connection, "1999-11-01T00:00:00Z")
        rows = f"SELECT xmin, {COLUMNS} FROM {LOG}"
        before = connection.execute(rows).fetchall()
        assert migrations.upgrade(url) == ("0001", database.REVISION)
        assert connection.execute(rows).fetchall() == before
        assert _kinds_of_index(connection) == {"btree"}
        _migrate(url, command.downgrade, "0001")
        assert connection.execute(rows).fetchall() == before
        assert _kinds_of_index(connection) == {"brin"}


def test_whoever_may_write_why_a_letter_was_resolved_may_then_write_who_did_it(
    empty_database_url: str,
) -> None:
    url = SecretStr(empty_database_url)
    role = f"Worker {uuid4().hex[:8]}"
    quoted = sql.Identifier(role)
    _migrate(url, command.upgrade, "0008")
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {}").format(quoted))
        grant = "GRANT UPDATE (resolution_note) ON dead_letters TO {}"
        connection.execute(sql.SQL(grant).format(quoted))
        migrations.upgrade(url)
        asked = "SELECT has_column_privilege(%s, 'dead_letters', 'resolved_by', 'UPDATE')"
        assert connection.execute(asked, (role,)).fetchone() == (True,)
        connection.execute(sql.SQL("DROP OWNED BY {}").format(quoted))
        connection.execute(sql.SQL("DROP ROLE {}").format(quoted))


def test_indexes_built_beforehand_beside_the_workers_are_used(empty_database_url: str) -> None:
    url = SecretStr(empty_database_url)
    _migrate(url, command.upgrade, "0001")
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        before = _built_as_documented(connection)
        migrations.upgrade(url)
        after = connection.execute(_BTREES).fetchall()
    assert before
    assert set(before) == set(after)


def test_a_migration_gives_up_where_a_long_query_holds_the_log(
    empty_database_url: str,
) -> None:
    url = SecretStr(empty_database_url)
    _migrate(url, command.upgrade, "0001")
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(f"SELECT FROM {LOG}")
        with pytest.raises(UnavailableError, match="55P03"):
            migrations.upgrade(url)
    assert migrations.upgrade(url) == ("0001", database.REVISION)


def test_migrating_twice_does_nothing_the_second_time(empty_database_url: str) -> None:
    url = SecretStr(empty_database_url)
    assert migrations.upgrade(url) == ("none", database.REVISION)
    assert migrations.upgrade(url) == (database.REVISION, database.REVISION)


@pytest.mark.parametrize("table", [LOG, f"{LOG}_2026_11", f"{LOG}_default"])
@pytest.mark.parametrize(
    "change", ["UPDATE {} SET outcome = 'stale'", "DELETE FROM {}", "TRUNCATE {}"]
)
def test_the_log_refuses_every_change(connection: Connection, table: str, change: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="is append-only"):
        connection.execute(change.format(table))


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00Z", "2026-11-30T23:59:59Z", "9999-12-31Z"])
def test_an_event_of_any_date_finds_a_partition(connection: Connection, time: str) -> None:
    _insert(connection, time)
    assert connection.execute(f"SELECT count(*) FROM {LOG}").fetchone() == (1,)


def test_partitions_exist_a_year_ahead_of_the_month_of_today(connection: Connection) -> None:
    exists = connection.execute(
        "SELECT to_regclass('processed_events_' || to_char(now() AT TIME ZONE 'UTC' "
        "+ make_interval(months => m), 'YYYY_MM')) IS NOT NULL FROM generate_series(-12, 12) m"
    )
    assert all(there for (there,) in exists)


def test_a_month_whose_events_lie_in_the_default_partition_stays_there(
    connection: Connection,
) -> None:
    month = "SELECT to_char(now() + interval '14 months', 'YYYY-MM-15')"
    ((day,),) = connection.execute(month)
    _insert(connection, day)
    ((made,),) = connection.execute("SELECT ensure_partitions(0, 15)")
    assert made == 2  # of the three new months one is taken
    assert connection.execute(f"SELECT count(*) FROM {LOG}_default").fetchone() == (1,)


def test_a_new_partition_refuses_changes_too(connection: Connection) -> None:
    connection.execute("SELECT ensure_partitions(0, 13)")
    ((name,),) = connection.execute(
        "SELECT 'processed_events_' || to_char(now() AT TIME ZONE 'UTC' + interval '13 months', "
        "'YYYY_MM')"
    )
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(f"TRUNCATE {name}")


def _insert(connection: psycopg.Connection[Any], event_time: str) -> None:
    connection.execute(
        f"INSERT INTO {LOG} (order_id, event_time, outcome, payload, record_topic, "
        "record_partition, record_offset) VALUES (1, %s, 'created', '{}', 't', 0, 0)",
        (event_time,),
    )


def _migrate(url: SecretStr, way: Callable[[Config, str], None], revision: str) -> None:
    with migrations.engine(url).connect() as connection:
        way(migrations.config(connection), revision)


def _kinds_of_index(connection: psycopg.Connection[Any]) -> set[str]:
    """Those on `consumed_at` alone of the log and all its partitions."""
    found = connection.execute(
        "SELECT DISTINCT amname FROM pg_indexes JOIN pg_class ON relname = indexname "
        "JOIN pg_am ON pg_am.oid = relam "
        f"WHERE tablename LIKE '{LOG}%' AND indexdef LIKE '%(consumed_at)%'"
    )
    return {kind for (kind,) in found}


_BTREES = f"""
SELECT relid::regclass::text, indexrelid FROM pg_index
JOIN pg_partition_tree('{LOG}') ON relid = indrelid AND isleaf
WHERE pg_get_indexdef(indexrelid) LIKE '%btree%consumed_at)%'
"""


def _built_as_documented(connection: psycopg.Connection[Any]) -> list[Any]:
    """Runs the statements that the migration's docstring has psql print."""
    script = Path(migrations.__file__).parents[2] / "alembic/versions/0002_newest_first.py"
    told = re.search(r"SELECT format\(.*?isleaf", script.read_text(), re.DOTALL)
    assert told
    for statements in connection.execute(told[0]).fetchall():
        for statement in statements:
            connection.execute(statement)
    return connection.execute(_BTREES).fetchall()
