"""When the rows of a contender were committed, by PostgreSQL's own account.

`track_commit_timestamp` keeps the time of each commit, to the microsecond, and a row's `xmin` names
the transaction that wrote it. So it is exact, costs a contender nothing of its own, and is the same
for all: https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-COMMIT-TIMESTAMP
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import psycopg
from psycopg import sql

from benchmarks.contenders import Contender
from benchmarks.environment import Connection

_LAST = """
SELECT max(pg_xact_commit_timestamp(xmin)) FROM {log} WHERE record_topic = %s
"""

_AFTER = """
SELECT count(*) FROM {log} WHERE record_topic = %s AND pg_xact_commit_timestamp(xmin) > %s
"""

# A record's timestamp is in whole milliseconds, so that a latency is too long by up to one.
_LATENCIES = """
SELECT count(*), percentile_cont(ARRAY[0.5, 0.99, 0.999]) WITHIN GROUP (
    ORDER BY extract(epoch FROM pg_xact_commit_timestamp(xmin) - record_time) * 1000)
FROM {log} WHERE record_topic = %s AND record_offset >= %s AND record_offset < %s
"""

_OUTCOME = """
SELECT count(*), count(DISTINCT order_id) FROM {deliveries}
"""


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """A connection in autocommit mode."""
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def last(connection: Connection, contender: Contender, topic: str) -> datetime:
    """When the last row of this topic's records was committed."""
    ((time,),) = connection.execute(_about(_LAST, contender), (topic,))
    committed_at: datetime = time
    return committed_at


def count_after(connection: Connection, contender: Contender, topic: str, time: datetime) -> int:
    """How many rows of this topic's records were committed after that."""
    ((count,),) = connection.execute(_about(_AFTER, contender), (topic, time))
    return int(count)


def latencies(
    connection: Connection, contender: Contender, topic: str, first: int, end: int
) -> tuple[int, list[float]]:
    """How many of these offsets have a row, and p50, p99 and p99.9 in milliseconds from the
    producer's timestamp to the commit."""
    ((count, percentiles),) = connection.execute(_about(_LATENCIES, contender), (topic, first, end))
    return count, percentiles or []


def deliveries(connection: Connection, contender: Contender) -> tuple[int, int]:
    """How many deliveries there are, and for how many orders."""
    ((rows, orders),) = connection.execute(_about(_OUTCOME, contender))
    return rows, orders


def _about(query: str, contender: Contender) -> sql.Composed:
    names = {"log": contender.log, "deliveries": contender.deliveries}
    return sql.SQL(query).format(**{name: sql.Identifier(table) for name, table in names.items()})
