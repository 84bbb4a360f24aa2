"""Connections to PostgreSQL, and transactions."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
from psycopg.rows import TupleRow
from pydantic import SecretStr

from delivery.errors import NotMigratedError, UnavailableError
from delivery.postgres.sqlstate import first_line, translated_errors

Connection = psycopg.Connection[TupleRow]

REVISION = "0002"  # the migration this code was written for

APPLICATION = "delivery worker"

# Seconds. A host that vanished without a word must not hold us longer than this.
CONNECT_TIMEOUT = 5
SILENCE_TIMEOUT = 10
LOCK_TIMEOUT = 5  # another worker's transaction takes a fraction of it


def connect(url: SecretStr, application: str, autocommit: bool = True) -> Connection:
    """A connection that speaks UTC and UTF-8, whatever the role's or the server's defaults.

    Raises UnavailableError with the first line of PostgreSQL's message.
    """
    try:
        connection = psycopg.connect(
            url.get_secret_value(), autocommit=True, **options(application)
        )
        connection.execute("SET TIME ZONE 'UTC'")
    except psycopg.OperationalError as error:
        raise UnavailableError(f"PostgreSQL can't be reached: {first_line(error)}") from error
    connection.autocommit = autocommit
    return connection


def options(application: str) -> dict[str, Any]:
    """libpq's options for every connection of ours."""
    return {
        "client_encoding": "UTF8",
        "application_name": application,
        "connect_timeout": CONNECT_TIMEOUT,
        "tcp_user_timeout": SILENCE_TIMEOUT * 1000,
        "keepalives_idle": SILENCE_TIMEOUT,
        "keepalives_interval": 3,
        "keepalives_count": 3,
    }


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """One transaction (inside another: a savepoint) whose errors come out as this module's own.

    Raises UnavailableError, RaceError, RefusedError or NotMigratedError; psycopg's error is a bug.
    """
    with translated_errors(), connection.transaction():
        yield


@contextmanager
def snapshot(url: SecretStr, application: str) -> Iterator[Connection]:
    """A connection that sees the database as it is at one time, and changes nothing.

    Raises UnavailableError, or NotMigratedError where the schema is not this version's.
    """
    with connect(url, application) as connection:
        require_migrated(connection)
        with transaction(connection):
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield connection


def require_migrated(connection: Connection) -> None:
    """Raises NotMigratedError unless the schema is the one this code was written for."""
    with translated_errors():
        try:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except psycopg.errors.UndefinedTable:
            row = None
    found = row[0] if row else "none"
    if found != REVISION:
        raise NotMigratedError(
            f"the database's schema is at revision {found}, this version needs {REVISION}: "
            "run `delivery migrate`"
        )


@dataclass
class Session:
    """A worker's connection, made when it is needed and made again after it was dropped."""

    url: SecretStr
    right: timedelta
    _connection: Connection | None = None

    def connection(self) -> Connection:
        """The connection. Raises UnavailableError."""
        if self._connection is None:
            connection = connect(self.url, APPLICATION)
            with translated_errors():
                _prepare_session(connection, self.right)
                connection.execute(_END_FROZEN, (APPLICATION, self.right))
            self._connection = connection
        return self._connection

    def drop(self) -> None:
        """Closes the connection, and with it whatever transaction it holds."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _prepare_session(connection: Connection, right: timedelta) -> None:
    for name, value in (_LOOK_UP_BY_KEY | _limits(connection, right)).items():
        connection.execute("SELECT set_config(%s, %s, false)", (name, value))


# A batch reads by key. Left to itself the planner sometimes prefers to scan a whole table for 2000
# keys, with parallel workers, and plans anew over all partitions for each batch.
_LOOK_UP_BY_KEY = {
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "plan_cache_mode": "force_generic_plan",
}


# A server's timeout does not reach a transaction whose client stopped in the middle of a COPY: the
# server waits for more of its rows. Whoever starts a session ends what is older than its right.
_END_FROZEN = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = %s AND usename = current_user AND datname = current_database()
  AND wait_event = 'ClientRead' AND xact_start < now() - %s AND pid <> pg_backend_pid()
"""


def _limits(connection: Connection, right: timedelta) -> dict[str, str]:
    """Makes the server end a transaction that outlives its worker's right to the partitions.

    `right` is Kafka's session timeout: after it, the partitions belong to a successor, who must
    not wait for the locks of a worker that is frozen or whose host is lost.
    """
    milliseconds = round(right.total_seconds() * 1000)
    limits = {
        "idle_in_transaction_session_timeout": str(milliseconds // 2),
        "lock_timeout": str(min(milliseconds // 2, LOCK_TIMEOUT * 1000)),
        "statement_timeout": str(milliseconds),
    }
    if connection.info.server_version >= 170000:
        limits["transaction_timeout"] = str(milliseconds)
    return limits
