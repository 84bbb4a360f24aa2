"""Connections to PostgreSQL, and transactions."""

import select
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
import structlog
from psycopg.conninfo import make_conninfo
from psycopg.errors import Diagnostic
from psycopg.sql import SQL
from pydantic import SecretStr

from delivery.database_url import setting_of
from delivery.errors import NotMigratedError, SettingsError, UnavailableError
from delivery.postgres import session
from delivery.postgres.refusals import refusal
from delivery.postgres.session import Connection
from delivery.postgres.sqlstate import first_line, translated_errors

__all__ = ["Connection", "Session", "connect", "options", "require_migrated", "transaction"]

log = structlog.get_logger()

REVISION = "0012"  # the migration this code was written for
NONE = "none"  # no schema yet

APPLICATION = "delivery worker"
ANNOUNCER = "delivery announce"

# Seconds. A host that vanished without a word must not hold us longer than this.
CONNECT_TIMEOUT = 5
SILENCE_TIMEOUT = 10

PATIENT: Mapping[str, str] = {}  # no setting but those of every session, and so no timeout


def connect(
    url: SecretStr,
    application: str,
    settings: Mapping[str, str] = PATIENT,
    read_only: bool = False,
    is_first: bool = True,
) -> Connection:
    """A connection whose session relies on no default: see `session`.

    Raises UnavailableError with the first line of PostgreSQL's message, ForbiddenError, or
    SettingsError where the database's encoding can't hold every text. SettingsError too where
    PostgreSQL refuses us; but not where the process was let in before, and this `is_first` no more:
    a password may be about to change on both sides.
    """
    conninfo = make_conninfo(url.get_secret_value(), **options(application))
    try:
        connection = Connection.connect(conninfo, autocommit=True)
    except psycopg.OperationalError as error:
        if is_first and (reason := refusal(conninfo, error)):
            raise SettingsError(f"PostgreSQL refuses {setting_of(url)}: {reason}") from error
        raise UnavailableError(f"PostgreSQL can't be reached: {first_line(error)}") from error
    try:
        prepare(connection, settings, read_only)
    except BaseException:
        connection.close()
        raise
    return connection


def prepare(connection: Connection, settings: Mapping[str, str], read_only: bool) -> None:
    """Makes a new connection ours: for `connect`, and for a pool that connects by itself."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in (None, "UTF8"):
        raise SettingsError(
            f"the database's encoding is {encoding}, and only UTF8 holds every text: CREATE "
            f"DATABASE {connection.info.dbname} ENCODING 'UTF8' TEMPLATE template0"
        )
    with translated_errors():
        connection.begin_session(settings, read_only)


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
def snapshot(url: SecretStr, application: str, exported: str | None = None) -> Iterator[Connection]:
    """A connection that sees the database as it is at one time, and changes nothing.

    It is the time of the session that `exported` it, whose transaction must still be there.
    Raises UnavailableError, or NotMigratedError where the schema is not this version's.
    """
    with connect(url, application, read_only=True) as connection:
        require_migrated(connection)
        with transaction(connection):
            if exported:
                connection.execute(SQL("SET TRANSACTION SNAPSHOT {}").format(exported))
            yield connection


def revision(connection: Connection) -> str:
    """The revision of the schema that is there; `NONE` where none is."""
    try:
        with transaction(connection):
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except NotMigratedError:
        return NONE
    return row[0] if row else NONE


def require_migrated(connection: Connection) -> None:
    """Raises NotMigratedError unless this code runs on the schema: on the one that it was written
    for, and on a later one that says so. The schema is migrated first, and the workers follow.
    """
    found = revision(connection)
    if found == NONE:
        _require_none_elsewhere(connection)
    if found != REVISION and not _runs_on(connection, found):
        cure = "install a later one" if is_later(found) else "run `delivery migrate`"
        raise NotMigratedError(
            f"the database's schema is at revision {found}, this version runs on {REVISION}: {cure}"
        )


def is_later(revision: str) -> bool:
    """Whether a schema of this revision was made by a later version of the code."""
    return revision != NONE and revision > REVISION


def _runs_on(connection: Connection, found: str) -> bool:
    if not is_later(found):
        return False
    with transaction(connection):
        row = connection.execute(
            "SELECT oldest_code FROM schema_revisions WHERE revision = %s", (found,)
        ).fetchone()
    return row is not None and row[0] <= REVISION


_ELSEWHERE = """
SELECT current_user, current_setting('search_path'),
       string_agg(relnamespace::regnamespace::text, ', ')
FROM pg_class WHERE relname = 'processed_events' AND relkind = 'p'
"""


def _require_none_elsewhere(connection: Connection) -> None:
    with transaction(connection):
        ((role, path, schemas),) = connection.execute(_ELSEWHERE)
    if schemas:
        raise NotMigratedError(
            f"the tables are in schema {schemas}, where role {role} does not look: it needs USAGE "
            f"(see `delivery migrate --help`) and a search_path that names it, not {path!r}"
        )


@dataclass
class Session:
    """A worker's connection, made when it is needed and made again after it was dropped."""

    url: SecretStr
    max_transaction_age: timedelta  # Kafka's session timeout: see `session.of_worker`
    _connection: Connection | None = None
    _is_first: bool = True

    def connection(self) -> Connection:
        """The connection. Raises what `connect` raises."""
        if self._connection is None:
            settings = session.of_worker(self.max_transaction_age)
            self._connection = connect(self.url, APPLICATION, settings, is_first=self._is_first)
            self._is_first = False
            self._connection.add_notice_handler(_log_warning)
            with transaction(self._connection):
                self._connection.execute(_END_FROZEN, (APPLICATION, self.max_transaction_age))
        return self._connection

    @property
    def is_open(self) -> bool:
        """Whether there is a connection, as far as we know."""
        return self._connection is not None

    def current(self) -> Connection | None:
        """The connection if there is one, for another thread to look at."""
        return self._connection

    def drop_if_ended(self) -> None:
        """Drops a connection that the server has ended. Asks only where there is a sign of it."""
        if self._connection is not None and _has_news(self._connection):
            try:
                self._connection.execute("SELECT 1")
            except psycopg.Error:
                self.drop()

    def drop(self) -> None:
        """Closes the connection, and with it whatever transaction it holds."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _has_news(connection: Connection) -> bool:
    """Whether the server has said something unasked: mostly, that it ends the session."""
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN)
    return bool(waiting.poll(0))


def _log_warning(said: Diagnostic) -> None:
    """Of a month that stays in the default partition. What a trigger of somebody else's warns of
    may hold a row's values.
    """
    if "ensure_partitions" in (said.context or ""):
        log.warning("PostgreSQL warns of a partition", detail=said.message_primary)


# A server's timeout does not reach a transaction whose client stopped in the middle of a COPY: the
# server waits for more of its rows. A new session ends what is older than a transaction may be.
_END_FROZEN = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = %s AND usename = current_user AND datname = current_database()
  AND wait_event = 'ClientRead' AND xact_start < now() - %s AND pid <> pg_backend_pid()
"""
