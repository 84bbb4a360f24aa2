"""The log as people look at it: filtered in SQL, in the order of the log, one row at a time.

`event_history` is a view over the three logs. PostgreSQL pushes each condition down into each of
them: an order is found by primary key, a time of arrival or a record's place by BRIN.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic import SecretStr
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    Integer,
    Select,
    Text,
    cast,
    column,
    func,
    literal,
    select,
    table,
)
from sqlalchemy.dialects.postgresql import psycopg
from sqlalchemy.types import TypeEngine

from delivery import database
from delivery.database import Connection
from delivery.record import Place

Row = tuple[Any, ...]

Time = DateTime(timezone=True)

_COLUMN_TYPES: dict[str, TypeEngine[Any]] = {
    "order_id": BigInteger(),
    "event_time": Time,
    "outcome": Text(),
    "record_topic": Text(),
    "record_partition": Integer(),
    "record_offset": BigInteger(),
    "record_time": Time,
    "consumed_at": Time,
    "payload": Text(),
    "reason": Text(),
    "error": Text(),
    "dead_letter_id": BigInteger(),
    "resolution": Text(),
}

event_history = table(
    "event_history", *(column(name, kind) for name, kind in _COLUMN_TYPES.items())
)

COLUMNS = tuple(_COLUMN_TYPES)

# The order of the log. Within one transaction it is that of the records' places.
ORDER = ("consumed_at", "record_topic", "record_partition", "record_offset")

STREAMED_ROWS = 1000  # as many are in memory at once, whatever the size of the log

_DIALECT = psycopg.dialect()  # type: ignore[no-untyped-call]

# From a minute to two years.
_WINDOWS = tuple(timedelta(minutes=16**n) for n in range(6))


class Outcome(StrEnum):
    """What became of a record, as `event_history` names it."""

    CREATED = "created"
    UPDATED = "updated"
    TOO_LATE = "too_late"
    STALE = "stale"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    REJECTED = "rejected"


@dataclass(frozen=True)
class Wanted:
    """Which rows of the log: those for which all that is given holds.

    `since` (inclusive) and `until` (exclusive) are times of arrival, with an offset.
    """

    order_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    outcomes: Sequence[Outcome] = ()
    place: Place | None = None


@contextmanager
def reading(url: SecretStr) -> Iterator[Connection]:
    """A connection that sees one moment of the log, changes nothing and gives times in UTC.

    Raises UnavailableError, or NotMigratedError where the schema is not this version's.
    """
    with database.connect(url, "delivery history") as connection:
        database.require_migrated(connection)
        with database.transaction(connection):
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield connection


def events(
    connection: Connection,
    wanted: Wanted,
    limit: int | None = None,
    columns: Sequence[str] = COLUMNS,
) -> Iterator[Row]:
    """The rows in the order of the log; with a `limit` the newest, still the oldest of them first.

    A row is a tuple in the order of `columns`; `payload` is the text as it was sent. Rows are
    streamed by a cursor of the server: memory does not grow with their number. Runs inside the
    caller's transaction.
    """
    conditions = _conditions(wanted)
    rows = select(*map(_selected, COLUMNS)).where(*conditions)
    if limit is not None:
        rows = rows.where(*_window(connection, wanted, conditions, limit))
        rows = rows.order_by(*(event_history.c[name].desc() for name in ORDER)).limit(limit)
    newest = rows.subquery()
    query = select(*(newest.c[name] for name in columns)).order_by(*(newest.c[n] for n in ORDER))
    with connection.cursor(name="event_history") as cursor:
        cursor.itersize = STREAMED_ROWS
        yield from cursor.execute(*_compiled(query))


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    log = event_history.c
    conditions: list[ColumnElement[bool]] = []
    if wanted.order_id is not None:
        conditions.append(log.order_id == wanted.order_id)
    if wanted.since is not None:
        conditions.append(log.consumed_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(log.consumed_at < wanted.until)
    if wanted.outcomes:
        conditions.append(log.outcome.in_([str(outcome) for outcome in wanted.outcomes]))
    if wanted.place is not None:
        topic, partition, offset = wanted.place
        conditions.append(log.record_topic == topic)
        conditions.append(log.record_partition == partition)
        conditions.append(log.record_offset == offset)
    return conditions


def _window(
    connection: Connection, wanted: Wanted, conditions: list[ColumnElement[bool]], limit: int
) -> list[ColumnElement[bool]]:
    """A time of arrival after which there are `limit` rows, and not many more.

    The index on `consumed_at` is BRIN: it finds a span of time, but gives no order, so that the
    newest rows of a long log would cost reading and sorting all of it. Instead the span grows,
    from the last minute by 16 times a step, until it holds enough rows. The steps before the last
    one read 1/15 of what the last one reads.
    """
    if wanted.order_id is not None or wanted.place is not None:
        return []  # few rows, found by their own indexes
    end = func.now() if wanted.until is None else func.least(func.now(), wanted.until)
    for width in _WINDOWS:
        window: ColumnElement[bool] = event_history.c.consumed_at >= end - literal(width)
        found = select(literal(1)).select_from(event_history).where(*conditions, window)
        counted = select(func.count()).select_from(found.limit(limit).subquery())
        if connection.execute(*_compiled(counted)).fetchone() == (limit,):
            return [window]
    return []


def _selected(name: str) -> ColumnElement[Any]:
    """A column of the view; the payload as text, for as JSON it would be parsed."""
    if name == "payload":
        return cast(event_history.c.payload, Text).label(name)
    return event_history.c[name]


def _compiled(query: Select[Any]) -> tuple[bytes, dict[str, Any]]:
    """SQLAlchemy puts the query together, psycopg runs it: one kind of connection and of errors."""
    compiled = query.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    return str(compiled).encode(), compiled.params
