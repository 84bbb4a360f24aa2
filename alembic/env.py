"""Runs the migrations: one transaction, one migrator at a time, no long wait for a lock."""

from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo
from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import insert

from delivery import settings
from delivery.postgres import distributed, migrations, tables

# Two migrators at once would both see an empty database; the second waits for the first.
MIGRATION_LOCK = 0x64656C6976657279  # "delivery" in ASCII


def note_oldest_code(ctx: MigrationContext, step: MigrationInfo, **_: Any) -> None:
    """Writes down which versions of the code run on the schema: they read it at their start."""
    script = step.up_revision
    # Since 0006, which makes the table.
    if step.is_upgrade and hasattr(script.module, "oldest_code"):
        row = {"revision": script.revision, "oldest_code": script.module.oldest_code}
        insertion = insert(tables.schema_revisions).values(row)
        ctx.impl.execute(insertion.on_conflict_do_update(index_elements=["revision"], set_=row))


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=tables.metadata,
        include_name=tables.is_declared,
        on_version_apply=note_oldest_code,
    )
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        # A migration waiting for a lock makes all queries behind it wait: it gives up instead.
        connection.execute(text("SET LOCAL lock_timeout = '5s'"))
        with distributed.migrating(lambda statement: connection.execute(text(statement))):
            context.run_migrations()


def run_offline() -> None:
    """`alembic upgrade head --sql`: the statements for a DBA to read and run."""
    context.configure(
        dialect_name="postgresql",
        dialect_opts={"paramstyle": "named"},  # else each % is printed twice, as for psycopg
        target_metadata=tables.metadata,
        literal_binds=True,
        on_version_apply=note_oldest_code,
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    run_offline()
elif (given := context.config.attributes.get("connection")) is not None:
    run(given)
else:
    url = settings.load(settings.DatabaseSettings).database_url
    with migrations.engine(url).connect() as connection:
        run(connection)
