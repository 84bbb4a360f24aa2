"""How verify reads: rows streamed in the order that a check needs, sorted by PostgreSQL.

Rows are sent as fast as they are taken, and not through a cursor of the server: a cursor's query
gets no parallel workers. Memory here does not grow with the log. While a stream is open its
connection runs nothing else.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from psycopg.sql import SQL, Composed
from psycopg.types.string import ByteaBinaryLoader

from delivery.postgres.database import Connection

STREAMED_ROWS = 100  # as many are in memory at once: their payloads may be a megabyte each

# A sort of ten million events is a few gigabytes. With this much memory its runs on disk are few
# enough to be merged in one go; more would make it hardly faster.
_SETTINGS = {
    "work_mem": "64MB",
    "jit": "off",
    "idle_in_transaction_session_timeout": "0",  # the topic is read between two rows
}

_WITHIN_CALENDAR = """CASE
    WHEN ? < '0001-01-01Z' THEN '0001-01-01Z'
    WHEN ? > '9999-12-31 23:59:59.999999Z' THEN '9999-12-31 23:59:59.999999Z' ELSE ? END"""

_IS_ARCHIVED = """
date_trunc('month', ? AT TIME ZONE 'UTC')::date IN (SELECT month FROM archived_months)
"""


def prepare(connection: Connection) -> None:
    """Sets what a long read needs, for the transaction."""
    for name, value in _SETTINGS.items():
        connection.execute("SELECT set_config(%s, %s, true)", (name, value))


def within_calendar(column: str) -> SQL:
    """The time, or the end of Python's calendar where PostgreSQL's goes on or is infinite."""
    return SQL(_WITHIN_CALENDAR.replace("?", column))


def is_archived(column: str) -> SQL:
    """Whether an event of that time may have left the log with its month."""
    return SQL(_IS_ARCHIVED.replace("?", column))


def streamed(
    connection: Connection, query: SQL | Composed, values: Mapping[str, Any] | None = None
) -> Iterator[tuple[Any, ...]]:
    """The query's rows; of a payload the bytes as they were sent."""
    with connection.cursor() as cursor:
        cursor.adapters.register_loader("json", ByteaBinaryLoader)
        yield from cursor.stream(query, values, binary=True, size=STREAMED_ROWS)
