"""The log as people look at it: filtered in SQL, in the order of the log, one row at a time.

An order is found by primary key, a time of arrival and the newest rows by btree, a record's place
by BRIN. Which rows, and how they are found, is said in `log_queries`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from delivery.history import sql
from delivery.history.filter import COLUMNS, ORDER, EventFilter, Position
from delivery.postgres.database import Connection

__all__ = ["COLUMNS", "ORDER", "EventFilter", "Position"]

Row = tuple[Any, ...]

PAGE_COLUMNS = (*COLUMNS, "payload_bytes")
PAGE_BYTES = 4_000_000  # of payloads on one page

STREAMED_ROWS = 1000  # as many are in memory at once, whatever the size of the log


def events(
    connection: Connection,
    wanted: EventFilter,
    limit: int | None = None,
    columns: Sequence[str] = COLUMNS,
) -> Iterator[Row]:
    """The rows in the order of the log; with a `limit` the newest, still the oldest of them first.

    A row is a tuple in the order of `columns`; `payload` is the text as it was sent. Many rows are
    streamed by a cursor of the server: memory does not grow with their number. Runs inside the
    caller's transaction.
    """
    query = sql.oldest_first(wanted, limit, columns)
    if limit is not None and limit <= STREAMED_ROWS:  # a cursor costs three more round trips
        yield from connection.execute(*query)
        return
    with connection.cursor(name="event_history") as cursor:
        cursor.itersize = STREAMED_ROWS
        yield from cursor.execute(*query)


def page(
    connection: Connection, wanted: EventFilter, limit: int, before: Position | None = None
) -> list[Row]:
    """The newest rows of `PAGE_COLUMNS`, the newest first: all, or those that stand before a row.

    Rows that are added stand before the first page, so that pages asked for one after another hold
    each row once that was there at the first. `payload_bytes` is the payload's length; the payload
    is None where it and those of newer rows are more than `PAGE_BYTES` together.
    Runs inside the caller's transaction.
    """
    query = sql.with_payloads(wanted, limit, before, PAGE_BYTES)
    return connection.execute(*query).fetchall()


def position(row: Row) -> Position:
    """Where a row of `page` stands."""
    return Position(*(row[COLUMNS.index(name)] for name in ORDER))
