"""alembic, run from a checkout or from an installed wheel."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from pydantic import SecretStr
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from delivery.postgres import database, placement
from delivery.postgres.sqlstate import translated

_PACKAGED = Path(__file__).parents[1] / "alembic"  # in a wheel
_CHECKOUT = Path(__file__).parents[2] / "alembic"


def upgrade(url: SecretStr) -> tuple[str, str]:
    """Brings the schema to head. Returns the revisions before and after (`none`: no schema)."""
    with _migrating(url) as connection:
        before = _revision(connection)
        command.upgrade(config(connection), "head")
        return before, _revision(connection)


@contextmanager
def _migrating(url: SecretStr) -> Iterator[Connection]:
    try:
        with engine(url).connect() as connection:
            yield connection
    except DBAPIError as error:
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
        return MigrationContext.configure(connection).get_current_revision() or "none"
