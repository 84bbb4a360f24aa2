"""alembic, run from a checkout or from an installed wheel."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from pydantic import SecretStr
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from delivery.errors import SettingsError
from delivery.postgres import database, placement
from delivery.postgres.sqlstate import first_line, translated

_PACKAGED = Path(__file__).parents[1] / "alembic"  # in a wheel
_CHECKOUT = Path(__file__).parents[2] / "alembic"


@dataclass(frozen=True)
class Migration:
    """One step of the schema, and what it says of itself."""

    revision: str
    title: str
    oldest_code: str | None  # the revision of the oldest version of the code that runs on it
    is_applied: bool


@dataclass(frozen=True)
class Status:
    """Where the database's schema stands among this version's migrations, the oldest first."""

    revision: str
    migrations: list[Migration]

    @property
    def pending(self) -> list[Migration]:
        return [migration for migration in self.migrations if not migration.is_applied]


def upgrade(url: SecretStr) -> tuple[str, str]:
    """Brings the schema to head. Returns the revisions before and after (`none`: no schema).

    A later schema stays as it is. Raises NotMigratedError where this version does not run on it.
    """
    with _migrating(url) as connection:
        before = _revision(connection)
        if not _runs_on_later(url, before):
            command.upgrade(config(connection), "head")
        return before, _revision(connection)


def downgrade(url: SecretStr, revision: str) -> None:
    """Takes the schema back to an earlier revision of this version's.

    Raises SettingsError where the revision is none of them or not earlier, or while workers or
    announcers are connected: they would meet tables that they do not know.
    """
    found = status(url)
    applied = [one.revision for one in found.migrations if one.is_applied]
    if database.is_later(found.revision):
        raise SettingsError(
            f"the schema is at revision {found.revision}, of a later version: only that version's "
            "`delivery downgrade` knows the way back"
        )
    if revision not in applied[:-1]:
        known = ", ".join(applied[:-1]) or "none"
        raise SettingsError(f"the schema is at revision {found.revision}; earlier ones: {known}")
    with _migrating(url) as connection:
        _require_nobody(connection)
        command.downgrade(config(connection), revision)


def status(url: SecretStr) -> Status:
    """Which migrations the database has, and which are pending.

    Raises NotMigratedError where the schema is of a later version on which this one does not run.
    """
    with _migrating(url) as connection:
        present = _revision(connection)
        is_later = _runs_on_later(url, present)
        return Status(
            present,
            [
                Migration(
                    script.revision,
                    script.doc,
                    getattr(script.module, "oldest_code", None),
                    is_later or (present != database.NONE and script.revision <= present),
                )
                for script in _scripts(connection)
            ],
        )


def write_statements(url: SecretStr, to: TextIO) -> None:
    """Writes the pending migrations as SQL, for a DBA to read and to run."""
    found = status(url)
    if not found.pending:
        return
    with _migrating(url) as connection:
        statements = config(connection)
        statements.output_buffer = to
        start = "base" if found.revision == database.NONE else found.revision
        command.upgrade(statements, f"{start}:head", sql=True)


def _scripts(connection: Connection) -> list[Script]:
    found = ScriptDirectory.from_config(config(connection)).walk_revisions()
    return sorted(found, key=lambda script: script.revision)


def _runs_on_later(url: SecretStr, revision: str) -> bool:
    """Whether the schema is of a later version. Raises NotMigratedError if this one fails there."""
    if not database.is_later(revision):
        return False
    with database.connect(url, "delivery migrate") as connection:
        database.require_migrated(connection)
    return True


_CONNECTED = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name IN (:worker, :announcer)
"""


def _require_nobody(connection: Connection) -> None:
    names = {"worker": database.APPLICATION, "announcer": database.ANNOUNCER}
    with connection.begin():
        number = connection.execute(text(_CONNECTED), names).scalar_one()
    if number:
        raise SettingsError(
            f"{number} sessions of workers or announcers are connected: stop them first, and start "
            "those of the version of before afterwards"
        )


@contextmanager
def _migrating(url: SecretStr) -> Iterator[Connection]:
    try:
        with engine(url).connect() as connection:
            yield connection
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.errors.FeatureNotSupported):
            raise SettingsError(
                f"{first_line(error.orig)}: Citus can't take a distributed log there, and it "
                "stays as it is"
            ) from error
        if isinstance(error.orig, psycopg.Error):
            raise translated(error.orig) from error
        raise


def engine(url: SecretStr) -> Engine:
    """SQLAlchemy's way to the database, as alembic needs it.

    Raises what `database.connect` and `placement.require_safe` raise.
    """
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: _connected(url), poolclass=NullPool
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        session = connection.connection.driver_connection
        if isinstance(session, database.Connection) and session.is_pooled:
            session.set_relied_on()

    return engine


def _connected(url: SecretStr) -> database.Connection:
    connection = database.connect(url, "delivery migrate")
    try:
        placement.require_safe(connection)
    except BaseException:
        connection.close()
        raise
    connection.autocommit = False  # SQLAlchemy commits
    return connection


def config(connection: Connection) -> Config:
    """alembic's configuration for this connection, independent of the working directory."""
    config = Config(attributes={"connection": connection})
    scripts = _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    return config


def _revision(connection: Connection) -> str:
    with connection.begin():
        return MigrationContext.configure(connection).get_current_revision() or database.NONE
