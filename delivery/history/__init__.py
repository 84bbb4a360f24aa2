"""The log as people look at it: filtered in SQL, in the order of the log, one row at a time.

An order is found by primary key, a time of arrival and the newest rows by btree, a record's
coordinates by BRIN: see `sql`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from psycopg import ServerCursor
from psycopg.rows import dict_row

from delivery.history import sql
from delivery.history.filter import COLUMNS, ORDER, EventFilter, Found, Position
from delivery.postgres.database import Connection

__all__ = ["COLUMNS", "ORDER", "EventFilter", "Found", "Position"]

Row = dict[str, Any]

# Of payloads on one page, in one answer, and in memory while a log is streamed.
PAYLOAD_BUDGET_BYTES = 4_000_000

# Rows that are fetched at once, whatever the size of the log: at first, while nobody knows how
# large their payloads are, and at most.
FIRST_ROWS = 100
STREAMED_ROWS = 1000

_TEXTS = frozenset({"payload", "record_headers", "error"})
_WITHOUT_TEXTS = tuple(name for name in COLUMNS if name not in _TEXTS)

_LARGE = ("payload", "record_headers")  # which may be of megabytes


def events(
    connection: Connection,
    wanted: EventFilter,
    limit: int | None = None,
    columns: Sequence[str] = COLUMNS,
) -> Iterator[tuple[Any, ...]]:
    """The rows in the order of the log; with a `limit` the newest, still the oldest of them first.

    A row is a tuple in the order of `columns`; `payload` is the text as it was sent, and
    `record_headers` that of an array, None where there is no header. Many rows are streamed by a
    cursor of the server: memory grows neither with their number nor, beyond the largest row, with
    what they hold. Runs inside the caller's transaction.
    """
    query = sql.oldest_first(wanted, limit, columns)
    most = FIRST_ROWS if "payload" in columns else STREAMED_ROWS
    if limit is not None and limit <= most:  # a cursor costs three more round trips
        yield from connection.execute(*query)
        return
    with connection.cursor(name="event_history") as cursor:
        cursor.execute(*query)
        yield from _fetched(cursor, columns)


def page(
    connection: Connection,
    wanted: EventFilter,
    limit: int,
    before: Position | None = None,
    beginning: int = 0,
    after: Position | None = None,
) -> list[Row]:
    """The newest rows, the newest first: of all, or of those that stand before a position.

    With `after` the oldest rows behind that position, the oldest first. Rows that are added stand
    before the first page, so that pages asked for one after another hold each row once that was
    there at the first. The columns are `COLUMNS`, and `payload_bytes` and `is_whole`: payloads
    beyond `PAYLOAD_BUDGET_BYTES`, together with headers, are cut to `beginning` characters, and are
    None where that is 0; so are their headers then. Runs inside the caller's transaction.
    """
    query = sql.with_payloads(wanted, limit, before, after, PAYLOAD_BUDGET_BYTES, beginning)
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(*query).fetchall()


def page_without_texts(
    connection: Connection, wanted: EventFilter, limit: int, before: Position | None = None
) -> list[Row]:
    """As `page`, without the columns `payload`, `record_headers` and `error`."""
    query = sql.newest_first(wanted, limit, before, _WITHOUT_TEXTS)
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(*query).fetchall()


def whole(rows: Sequence[Row]) -> Sequence[Row]:
    """The rows of a page up to the first whose payload is left out; that one alone if it leads."""
    cut = (index for index, row in enumerate(rows) if not row["is_whole"])
    return rows[: max(1, next(cut, len(rows)))]


def position(row: Row) -> Position:
    """Where a row of a page stands."""
    return Position(*(row[name] for name in ORDER))


def _fetched(cursor: ServerCursor[Any], columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """The rows, as many at once as have payloads and headers of `PAYLOAD_BUDGET_BYTES` each."""
    large = [columns.index(name) for name in _LARGE if name in columns]
    size, largest = FIRST_ROWS, 1
    while rows := cursor.fetchmany(size):
        for index in large:
            largest = max(largest, *(len(row[index] or "") for row in rows))
        size = min(STREAMED_ROWS, max(1, PAYLOAD_BUDGET_BYTES // largest))
        yield from rows
