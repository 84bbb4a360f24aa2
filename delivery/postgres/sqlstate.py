"""What PostgreSQL's errors mean for a batch. The only place that names SQLSTATEs."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from delivery.errors import (
    ForbiddenError,
    NotMigratedError,
    RaceError,
    RefusedError,
    UnavailableError,
)

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

# Of a login that the next start would repeat in vain, and what to do about it.
_LOGIN = {
    "28P01": "check the user and the password",  # invalid password
    "28": (  # invalid authorization
        "check the user, and that the server's pg_hba.conf lets it in from here (with sslcert and "
        "sslkey, where it asks for a certificate)"
    ),
    "3D": "check the database's name, or create it",  # invalid catalog name
    "42501": "GRANT CONNECT on the database to the role, or check the name of either",
    "42": "check the options",  # access rule violation, such as an option that is not known
    "22": "check the options",  # data exception, such as a value that an option can't have
    "0A": "check the options",  # feature not supported
}
_NOT_MIGRATED = {
    "42P01",  # undefined table
    "42703",  # undefined column
    "42883",  # undefined function
}


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turns PostgreSQL's errors into this project's."""
    try:
        yield
    except psycopg.Error as error:
        raise translated(error) from error


def translated(error: psycopg.Error) -> Exception:
    """This project's error for PostgreSQL's; the same where it is a bug's."""
    sqlstate = error.sqlstate
    if sqlstate is None:  # psycopg's own: the connection broke, or else it is a bug
        broke = isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
        return UnavailableError(first_line(error)) if broke else error
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


def was_cancelled(error: UnavailableError) -> bool:
    """Whether it is a statement that took longer than `statement_timeout`, or was ended by hand."""
    return isinstance(error.__cause__, psycopg.errors.QueryCanceled)


def advice_for_login(sqlstate: str) -> str | None:
    """What to do where this ended a login. None: nothing, a later one may succeed."""
    return _LOGIN.get(sqlstate) or _LOGIN.get(sqlstate[:2])


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


def first_line(error: BaseException) -> str:
    """What an error says, without the lines that only a terminal has room for."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
