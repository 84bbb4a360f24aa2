"""alembic, run from a checkout or from an installed wheel."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from psycopg import sql
from pydantic import SecretStr
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from delivery.errors import SettingsError
from delivery.postgres import database
from delivery.postgres.columns import DELIVERY
from delivery.postgres.sqlstate import translated

_PACKAGED = Path(__file__).parents[1] / "alembic"  # in a wheel
_CHECKOUT = Path(__file__).parents[2] / "alembic"


def upgrade(url: SecretStr) -> tuple[str, str]:
    """Brings the schema to head. Returns the revisions before and after (`none`: no schema)."""
    with _migrating(url) as connection:
        before = _revision(connection)
        command.upgrade(config(connection), "head")
        return before, _revision(connection)


_USAGE = "GRANT USAGE ON SCHEMA {schema} TO {role};"

# What each kind of role may do. Nobody but the owner may change or shorten the log: a dead letter
# keeps the record as it came. A delivery's status is for other services to move.
_GRANTS = {
    "worker": """
        GRANT SELECT, INSERT ON processed_events, duplicate_events, deliveries, dead_letters
            TO {role};
        GRANT UPDATE ({of_events}, updated_at) ON deliveries TO {role};
        GRANT UPDATE (reason, error, resolved_at, resolution, resolution_note)
            ON dead_letters TO {role};
        GRANT SELECT ON event_history, alembic_version TO {role};
        GRANT EXECUTE ON FUNCTION ensure_partitions(integer, integer) TO {role};
        GRANT INSERT ON outbox TO {role};
        GRANT SELECT, INSERT ON outbox_periods TO {role};
    """,
    "announcer": """
        GRANT SELECT, DELETE ON outbox TO {role};
        GRANT SELECT, INSERT ON announcements TO {role};
        GRANT SELECT, INSERT, UPDATE ON announced_positions TO {role};
        GRANT SELECT ON outbox_periods, alembic_version TO {role};
        GRANT UPDATE (switched_off_at) ON outbox_periods TO {role};
    """,
    "reader": """
        GRANT SELECT ON processed_events, duplicate_events, deliveries, dead_letters,
                        event_history, alembic_version,
                        outbox, announcements, announced_positions, outbox_periods TO {role};
    """,
}


# Two who grant on the same table at once would fail with "tuple concurrently updated".
_TAKE_TURNS = "SELECT pg_advisory_xact_lock(hashtext('delivery.grant'))"

_MAY_ALL = """
SELECT pg_has_role(%s, relowner, 'MEMBER') FROM pg_class WHERE oid = 'processed_events'::regclass
"""


Kind = Literal["worker", "announcer", "reader"]


def grant(url: SecretStr, kind: Kind, role: str) -> None:
    """Gives an existing role the rights of a worker, an announcer, or of one who only looks.

    Raises SettingsError where there is no such role, or where it could change the log anyway.
    """
    with database.connect(url, "delivery migrate") as connection, database.transaction(connection):
        connection.execute(_TAKE_TURNS)
        _require_no_owner(connection, role)
        ((schema,),) = connection.execute("SELECT current_schema()")
        of_events = [sql.Identifier(name) for name in DELIVERY if name != "order_id"]
        grants = sql.SQL(_USAGE + _GRANTS[kind]).format(
            role=sql.Identifier(role),
            schema=sql.Identifier(schema),
            of_events=sql.SQL(", ").join(of_events),
        )
        connection.execute(grants)


def _require_no_owner(connection: database.Connection, role: str) -> None:
    try:
        ((may_all,),) = connection.execute(_MAY_ALL, (role,))
    except psycopg.errors.UndefinedObject as error:
        raise SettingsError(f"there is no role {role!r}: create it first") from error
    if may_all:
        raise SettingsError(
            f"role {role!r} is a superuser, or the tables' owner or a member of it, and could "
            "change the log: create another one"
        )


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
