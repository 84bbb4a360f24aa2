"""Connections to PostgreSQL, and what its errors mean. The only place that names SQLSTATEs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import psycopg
from psycopg.rows import TupleRow
from pydantic import SecretStr

from delivery.errors import (
    ForbiddenError,
    NotMigratedError,
    RaceError,
    RefusedError,
    UnavailableError,
)

Connection = psycopg.Connection[TupleRow]

REVISION = "0001"  # the migration this code was written for

APPLICATION = "delivery worker"

# Seconds. A host that vanished without a word must not hold us longer than this.
CONNECT_TIMEOUT = 5
SILENCE_TIMEOUT = 10
LOCK_TIMEOUT = 5  # another worker's transaction takes a fraction of it


# PostgreSQL's error codes, https://www.postgresql.org/docs/current/errcodes-appendix.html:
# a class of two characters or a whole code. A code that stands in no set is ours: a bug.
_MOMENT = {
    "08",  # connection exception
    "53",  # insufficient resources: too many connections, disk full
    "57",  # operator intervention: shutdown, crash, starting up, statement_timeout
    "25006",  # read-only: the other side of a failover
    "25P03",  # idle_in_transaction_session_timeout
    "25P04",  # transaction_timeout
    "55P03",  # lock_timeout
    "58",  # system error: I/O
}
_RACE = {
    "40001",  # serialization failure
    "40P01",  # deadlock detected
}
_RECORD = {
    "22",  # data exception
    "23",  # integrity constraint violation
    "54",  # program limit exceeded, such as a row too large for an index
    "P0001",  # RAISE EXCEPTION in somebody's trigger
}
_FORBIDDEN = {"42501"}  # insufficient privilege
_NOT_MIGRATED = {
    "42P01",  # undefined table
    "42703",  # undefined column
    "42883",  # undefined function
}


def connect(url: SecretStr, application: str, autocommit: bool = True) -> Connection:
    """A connection that speaks UTC and UTF-8, whatever the role's or the server's defaults.

    Raises UnavailableError with the first line of PostgreSQL's message.
    """
    try:
        connection = psycopg.connect(
            url.get_secret_value(),
            autocommit=True,
            client_encoding="UTF8",
            application_name=application,
            connect_timeout=CONNECT_TIMEOUT,
            tcp_user_timeout=SILENCE_TIMEOUT * 1000,
            keepalives_idle=SILENCE_TIMEOUT,
        )
        connection.execute("SET TIME ZONE 'UTC'")
    except psycopg.OperationalError as error:
        raise UnavailableError(f"PostgreSQL can't be reached: {_first_line(error)}") from error
    connection.autocommit = autocommit
    return connection


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """One transaction (inside another: a savepoint) whose errors come out as this module's own.

    Raises UnavailableError, RaceError, RefusedError or NotMigratedError; psycopg's error is a bug.
    """
    with translated_errors(), connection.transaction():
        yield


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turns PostgreSQL's errors into this project's."""
    try:
        yield
    except psycopg.Error as error:
        raise translated(error) from error


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


def translated(error: psycopg.Error) -> Exception:
    """This project's error for PostgreSQL's; the same where it is a bug's."""
    sqlstate = error.sqlstate
    if sqlstate is None:  # psycopg's own: the connection broke, or else it is a bug
        broke = isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
        return UnavailableError(_first_line(error)) if broke else error
    text = f"SQLSTATE {sqlstate}: {error.diag.message_primary}"
    if _is(sqlstate, _MOMENT):
        return UnavailableError(text)
    if _is(sqlstate, _RACE) or _is_second(error):
        return RaceError(text)
    if _is(sqlstate, _RECORD):
        return RefusedError(text)
    if _is(sqlstate, _NOT_MIGRATED):
        return NotMigratedError(f"{error.diag.message_primary}: run `delivery migrate`")
    if _is(sqlstate, _FORBIDDEN):
        return ForbiddenError(
            f"{error.diag.message_primary}: the role of DELIVERY_DATABASE_URL needs that right, "
            "see `delivery migrate --help`"
        )
    return error


def _is(sqlstate: str, codes: set[str]) -> bool:
    return sqlstate in codes or sqlstate[:2] in codes


def _is_second(error: psycopg.Error) -> bool:
    """Whether the inbox's key or the delivery's was taken in between."""
    if not isinstance(error, psycopg.errors.UniqueViolation):
        return False
    table, constraint = error.diag.table_name or "", error.diag.constraint_name or ""
    # A partition's key is named after the partition: processed_events_2026_01_pkey.
    return constraint == "pk_deliveries" or (
        table.startswith("processed_events") and constraint.endswith("_pkey")
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
