"""The schema as the migrations build it."""

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from pydantic import SecretStr

from delivery import database, migrations, tables
from delivery.database import Connection

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


def _insert(connection: Connection, event_time: str) -> None:
    connection.execute(
        f"INSERT INTO {LOG} (order_id, event_time, outcome, payload, record_topic, "
        "record_partition, record_offset) VALUES (1, %s, 'created', '{}', 't', 0, 0)",
        (event_time,),
    )
