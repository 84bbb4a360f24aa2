"""What is open and what was announced: an announcer's statements.

Each is a transaction of its own, on a connection in autocommit mode. A row leaves the outbox in the
transaction that writes its announcement, so that it is always in one of the two.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from delivery.announce.wire import Row
from delivery.broker.transactions import PartitionOffset
from delivery.errors import RaceError
from delivery.postgres.database import Connection, transaction

# The order is that of the log, in which an order's events were decided. Behind the last row of a
# portion, so that it does not walk again through those that were deleted and not yet cleared away.
_OPEN = """
SELECT consumed_at, order_id, event_time FROM outbox
WHERE (consumed_at, order_id, event_time) > (%b, %b, %b)
ORDER BY consumed_at, order_id, event_time LIMIT %b
"""
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
BEFORE_ALL = Row(_LONG_AGO, 0, _LONG_AGO)

_OPEN_OF_ORDERS = """
SELECT consumed_at, order_id, event_time FROM outbox WHERE order_id = ANY(%b::bigint[])
"""

_MARK = """
WITH marked AS (
    DELETE FROM outbox AS o
    USING unnest(%(consumed_at)b::timestamptz[], %(order_id)b::bigint[],
                 %(event_time)b::timestamptz[], %(partition)b::integer[], %(offset)b::bigint[])
          AS a (consumed_at, order_id, event_time, record_partition, record_offset)
    WHERE (o.consumed_at, o.order_id, o.event_time) = (a.consumed_at, a.order_id, a.event_time)
    RETURNING a.order_id, a.event_time, a.record_partition, a.record_offset
), announced AS (
    INSERT INTO announcements (order_id, event_time, announced_topic, announced_partition,
                               announced_offset)
    SELECT order_id, event_time, %(topic)b, record_partition, record_offset FROM marked
    ON CONFLICT DO NOTHING
), moved AS (
    INSERT INTO announced_positions AS p
    SELECT %(topic)b, record_partition, %(topic_id)b, max(record_offset) + 1
    FROM marked GROUP BY record_partition
    ON CONFLICT (announced_topic, announced_partition)
    DO UPDATE SET announced_topic_id = excluded.announced_topic_id,
                  next_offset = excluded.next_offset
)
SELECT count(*) FROM marked
"""

_POSITIONS = """
SELECT announced_partition, announced_topic_id, next_offset FROM announced_positions
WHERE announced_topic = %b
"""

_TOPICS = "SELECT DISTINCT announced_topic FROM announced_positions ORDER BY 1"

_SET_POSITIONS = """
INSERT INTO announced_positions
SELECT %b, number, %b, next_offset
FROM unnest(%b::integer[], %b::bigint[]) AS p (number, next_offset)
ON CONFLICT (announced_topic, announced_partition)
DO UPDATE SET announced_topic_id = excluded.announced_topic_id,
              next_offset = excluded.next_offset
"""

# Not counted beyond: what a metric would tell is that there are very many.
COUNTED = 1_000_000

_LAG = """
SELECT count(*), coalesce(clock_timestamp() - min(consumed_at), interval '0')
FROM (SELECT consumed_at FROM outbox ORDER BY consumed_at LIMIT %b) AS oldest
"""


class Topic(NamedTuple):
    """The topic of announcements, told from one that had its name before by its id."""

    name: str
    topic_id: UUID


class Position(NamedTuple):
    """Below `next_offset` every announcement of ours is marked, in the topic of that id."""

    topic_id: UUID
    next_offset: int


class Lag(NamedTuple):
    """How many rows are open, at most `COUNTED`, and for how long the oldest has been."""

    rows: int
    age: timedelta


def open_rows(connection: Connection, limit: int, after: Row = BEFORE_ALL) -> list[Row]:
    """The oldest open rows behind a row, in the order of the log."""
    with transaction(connection):
        found = connection.execute(_OPEN, (*after, limit), prepare=True, binary=True)
        return [Row(*row) for row in found]


def open_rows_of(connection: Connection, orders: Sequence[int]) -> list[Row]:
    """The open rows of these orders. It may read the whole outbox."""
    with transaction(connection):
        return [Row(*row) for row in connection.execute(_OPEN_OF_ORDERS, [list(orders)])]


def mark(
    connection: Connection, topic: Topic, rows: Sequence[Row], offsets: Sequence[PartitionOffset]
) -> None:
    """Notes that these rows were announced, each at its offset.

    Raises RaceError where one is not open any more: then somebody else announces beside us.
    """
    consumed_at, order_id, event_time = (list(column) for column in zip(*rows, strict=True))
    partition, offset = (list(column) for column in zip(*offsets, strict=True))
    values = {
        "consumed_at": consumed_at,
        "order_id": order_id,
        "event_time": event_time,
        "partition": partition,
        "offset": offset,
        "topic": topic.name,
        "topic_id": topic.topic_id,
    }
    with transaction(connection):
        ((marked,),) = connection.execute(_MARK, values, prepare=True)
        if marked < len(rows):
            raise RaceError("rows of the outbox went away while they were announced")


def positions(connection: Connection, topic: str) -> dict[int, Position]:
    """For each partition of the topic up to where every announcement is marked."""
    with transaction(connection):
        found = connection.execute(_POSITIONS, (topic,)).fetchall()
    return {partition: Position(*position) for partition, *position in found}


def topics(connection: Connection) -> list[str]:
    """The topics that were ever announced to."""
    with transaction(connection):
        return [topic for (topic,) in connection.execute(_TOPICS)]


def set_positions(connection: Connection, topic: Topic, offsets: Mapping[int, int]) -> None:
    """Notes that below these offsets every announcement is marked."""
    values = (topic.name, topic.topic_id, list(offsets), list(offsets.values()))
    with transaction(connection):
        connection.execute(_SET_POSITIONS, values)


def lag(connection: Connection) -> Lag:
    """How far the announcements are behind the deliveries."""
    with transaction(connection):
        ((rows, age),) = connection.execute(_LAG, (COUNTED,))
    return Lag(rows, age)
