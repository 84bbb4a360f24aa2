"""The rows of a month in the log: which months there are, what a month holds, and its text."""

from collections.abc import Generator
from datetime import date, datetime
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

from psycopg import sql

from delivery.domain.month import Month
from delivery.postgres.database import Connection

# A month has a partition of its own, which may be empty, or its rows are among others' in the
# default partition. What lies beyond Python's calendar is in no month, and stays.
_PARTITIONS = """
SELECT inhrelid::regclass::text,
       substring(pg_get_expr(relpartbound, inhrelid) FROM $$FROM \\('([^']+)'\\) TO$$)::timestamptz
           AS first,
       substring(pg_get_expr(relpartbound, inhrelid) FROM $$TO \\('([^']+)'\\)$$)::timestamptz
           AS until
FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = 'processed_events'::regclass
"""
_MONTHS = """
SELECT DISTINCT date_trunc('month', event_time AT TIME ZONE 'UTC')::date FROM {partition}
WHERE event_time < {before} AND event_time >= '0001-01-01Z'
"""
_HAS_ROWS = "SELECT EXISTS (SELECT 1 FROM {partition})"  # with a 1, as Citus wants it

_OF_MONTH = "event_time >= {first} AND event_time < {until}"

# The log grows, and only an erasure changes a row: either of them changes the number of rows or the
# transactions that wrote them.
_FINGERPRINT = """
SELECT count(*), coalesce(sum(xmin::text::bigint), 0), min(consumed_at), max(consumed_at)
FROM processed_events WHERE {of_month}
"""

_COORDINATES = """
SELECT record_topic, record_partition, record_topic_id, min(record_offset), max(record_offset),
       count(*)
FROM processed_events WHERE {of_month} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""

_COLUMNS = """
SELECT attname FROM pg_attribute
WHERE attrelid = 'processed_events'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""

# In the order of the log, by its index; the same rows are the same text, byte for byte.
_COPY = """
COPY (SELECT {columns} FROM processed_events WHERE {of_month}
      ORDER BY consumed_at, record_topic COLLATE "C", record_partition, record_offset,
               record_topic_id, order_id, event_time)
TO STDOUT (FORMAT csv, HEADER)
"""


class Partition(NamedTuple):
    """A partition of the log, and the month it is of; None for the default one."""

    name: sql.SQL  # as PostgreSQL quotes it
    month: Month | None


class Fingerprint(NamedTuple):
    """By which it is seen that a month is as it was."""

    rows: int
    writers: int  # the sum of the rows' transaction ids
    first_consumed_at: datetime | None
    last_consumed_at: datetime | None


class Offsets(NamedTuple):
    """From which offset to which a month's records lie in a partition of Kafka, and how many."""

    record_topic: str
    record_partition: int
    record_topic_id: UUID
    first_offset: int
    last_offset: int
    rows: int


def partitions(connection: Connection) -> list[Partition]:
    """The log's partitions. One that is neither of one month nor the default has no month."""
    found = connection.execute(_PARTITIONS).fetchall()
    return [Partition(sql.SQL(name), _month(first, until)) for name, first, until in found]


def months_before(connection: Connection, before: Month) -> list[Month]:
    """The months before that one of which the log has rows, the oldest first."""
    months: set[Month] = set()
    for partition in partitions(connection):
        if partition.month is None:
            query = sql.SQL(_MONTHS).format(partition=partition.name, before=before.first)
            months.update(Month.of(first) for (first,) in connection.execute(query))
        elif partition.month < before:
            query = sql.SQL(_HAS_ROWS).format(partition=partition.name)
            ((has_rows,),) = connection.execute(query)
            months.update([partition.month] if has_rows else [])
    return sorted(months)


def fingerprint(connection: Connection, month: Month) -> Fingerprint:
    """What the month is recognised by. It reads all its rows."""
    (found,) = connection.execute(of_month(_FINGERPRINT, month))
    return Fingerprint(*found)


def coordinates(connection: Connection, month: Month) -> list[Offsets]:
    """Where in Kafka the month's records lie."""
    return [Offsets(*row) for row in connection.execute(of_month(_COORDINATES, month))]


def columns(connection: Connection) -> list[str]:
    """The log's columns."""
    return [name for (name,) in connection.execute(_COLUMNS)]


def schema_revision(connection: Connection) -> str:
    """The revision of the schema that the rows are of."""
    ((revision,),) = connection.execute("SELECT version_num FROM alembic_version")
    return str(revision)


def text(connection: Connection, month: Month, columns: list[str]) -> Generator[bytes, None, None]:
    """The month's rows as PostgreSQL's CSV, with a header, streamed. The payload is as sent."""
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    query = of_month(_COPY, month, columns=names)
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        for chunk in copy:
            yield bytes(chunk)


def of_month(query: LiteralString, month: Month, **others: Any) -> sql.Composed:
    """The query, with the rows of the month where it says `{of_month}`."""
    condition = sql.SQL(_OF_MONTH).format(first=month.first, until=month.following.first)
    return sql.SQL(query).format(of_month=condition, **others)


def _month(first: datetime | None, until: datetime | None) -> Month | None:
    if first is None or until is None:
        return None
    month = Month.of(date(first.year, first.month, 1))
    return month if (month.first, month.following.first) == (first, until) else None
