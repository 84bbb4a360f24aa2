"""alembic, run from a checkout or from an installed wheel."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from pydantic import SecretStr
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.pool import NullPool

from delivery import database

_PACKAGED = Path(__file__).parent / "migrations"  # in a wheel
_CHECKOUT = Path(__file__).parent.parent / "alembic"


def upgrade(url: SecretStr) -> tuple[str, str]:
    """Brings the schema to head. Returns the revisions before and after (`none`: no schema)."""
    with database.translated_errors(), engine(url).connect() as connection:
        before = _revision(connection)
        command.upgrade(config(connection), "head")
        return before, _revision(connection)


def engine(url: SecretStr) -> Engine:
    """SQLAlchemy's way to the database, as alembic needs it."""
    return create_engine(
        "postgresql+psycopg://",
        creator=lambda: database.connect(url, "delivery migrate", autocommit=False),
        poolclass=NullPool,
    )


def config(connection: Connection) -> Config:
    """alembic's configuration for this connection, independent of the working directory."""
    config = Config(attributes={"connection": connection})
    scripts = _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    return config


def _revision(connection: Connection) -> str:
    with connection.begin():
        return MigrationContext.configure(connection).get_current_revision() or "none"
