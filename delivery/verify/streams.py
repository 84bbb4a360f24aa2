"""What verify reads: each log in the order that its check needs, streamed and sorted by PostgreSQL.

Cursors of the server: memory here does not grow with the log. All run in the caller's transaction.
"""

from collections.abc import Iterator
from itertools import count
from typing import Any

from psycopg.sql import SQL, Composed
from psycopg.types.string import ByteaBinaryLoader

from delivery.postgres.database import Connection
from delivery.verify.fold import Delivery, Entry
from delivery.verify.payload import Duplicate
from delivery.verify.places import Occupied

STREAMED_ROWS = 1000  # as many of a stream are in memory at once

# A sort of ten million events is a few gigabytes. With this much memory its runs on disk are few
# enough to be merged in one go; more would make it hardly faster.
_SETTINGS = {
    "work_mem": "64MB",
    "cursor_tuple_fraction": "1",  # all rows are wanted, not the first ones soon
    "jit": "off",
    "idle_in_transaction_session_timeout": "0",  # the topic is read between two rows
}

_number = count(1)


def prepare(connection: Connection) -> None:
    """Sets what a long read needs, for the transaction."""
    for name, value in _SETTINGS.items():
        connection.execute("SELECT set_config(%s, %s, true)", (name, value))


def _time(column: str) -> SQL:
    """The time, or the end of Python's calendar where PostgreSQL's goes on or is infinite."""
    return SQL(_WITHIN_CALENDAR.replace("?", column))


_WITHIN_CALENDAR = """CASE
    WHEN ? < '0001-01-01Z' THEN '0001-01-01Z'
    WHEN ? > '9999-12-31 23:59:59.999999Z' THEN '9999-12-31 23:59:59.999999Z' ELSE ? END"""

_LOG = SQL("""
SELECT order_id, {event_time}, outcome, payload, record_topic, record_partition, record_offset
FROM processed_events
ORDER BY order_id, consumed_at, record_topic COLLATE "C", record_partition, record_offset
""").format(event_time=_time("event_time"))

_DELIVERIES = SQL("""
SELECT order_id, product_id, quantity, ordered_by, supply_company_id, consume_company_id,
       request_message, {delivery_limited_at}, {event_time}
FROM deliveries ORDER BY order_id
""").format(delivery_limited_at=_time("delivery_limited_at"), event_time=_time("event_time"))

_DUPLICATES = SQL("""
SELECT d.order_id, {event_time}, d.payload, p.order_id IS NOT NULL,
       d.record_topic, d.record_partition, d.record_offset
FROM duplicate_events d
LEFT JOIN processed_events p ON p.order_id = d.order_id AND p.event_time = d.event_time
WHERE p.order_id IS NULL OR d.payload IS NOT NULL
ORDER BY d.record_topic COLLATE "C", d.record_partition, d.record_offset
""").format(event_time=_time("d.event_time"))

# A replayed letter is no row of its own, but its place must be another log's.
_OCCUPIED = SQL("""
WITH named AS (
    SELECT record_topic COLLATE "C" AS topic, record_partition, record_offset, order_id,
           'processed_events' AS log
    FROM processed_events
    UNION ALL
    SELECT record_topic, record_partition, record_offset, order_id, 'duplicate_events'
    FROM duplicate_events
    UNION ALL
    SELECT record_topic, record_partition, record_offset, order_id,
           CASE WHEN resolution = 'replayed' THEN NULL ELSE 'dead_letters' END
    FROM dead_letters
), places AS (
    SELECT topic, record_partition, record_offset, count(log) AS rows,
           min(log) AS first_log, max(log) AS last_log,
           min(order_id) AS first_order, max(order_id) AS last_order
    FROM named GROUP BY topic, record_partition, record_offset
), neighbours AS (
    SELECT *, lag(record_offset) OVER upwards AS previous,
           lead(record_offset) OVER upwards IS NULL AS is_last
    FROM places
    WINDOW upwards AS (PARTITION BY topic, record_partition ORDER BY record_offset)
)
SELECT * FROM neighbours
WHERE rows <> 1 OR previous IS DISTINCT FROM record_offset - 1 OR is_last
ORDER BY topic, record_partition, record_offset
""")

_SMALL_LOGS = "SELECT (SELECT count(*) FROM duplicate_events), (SELECT count(*) FROM dead_letters)"


def log(connection: Connection) -> Iterator[Entry]:
    """The log: order by order, and within an order as it was written."""
    return map(Entry._make, _streamed(connection, _LOG))


def deliveries(connection: Connection) -> Iterator[Delivery]:
    """The deliveries, by order."""
    return _streamed(connection, _DELIVERIES)


def duplicates(connection: Connection) -> Iterator[Duplicate]:
    """The duplicates there is something to check of, by place."""
    return map(Duplicate._make, _streamed(connection, _DUPLICATES))


def occupied(connection: Connection) -> Iterator[Occupied]:
    """The places of all logs but for those that `places.account` has nothing to say of."""
    return map(Occupied._make, _streamed(connection, _OCCUPIED))


def small_logs(connection: Connection) -> tuple[int, int]:
    """How many duplicates and how many dead letters there are."""
    ((duplicates, letters),) = connection.execute(_SMALL_LOGS)
    return duplicates, letters


def _streamed(connection: Connection, query: SQL | Composed) -> Iterator[tuple[Any, ...]]:
    with connection.cursor(name=f"verify_{next(_number)}") as cursor:
        cursor.itersize = STREAMED_ROWS
        cursor.adapters.register_loader("json", ByteaBinaryLoader)  # the payload's bytes as sent
        yield from cursor.execute(query, binary=True)
