"""Which offsets of the topic's partitions the logs name, and how often."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from uuid import UUID

from psycopg.sql import SQL

from delivery.domain.imported import PREFIX
from delivery.domain.record import UNKNOWN_TOPIC_ID, Partition, PartitionLog
from delivery.postgres.database import Connection
from delivery.verify.coordinates import Occupied
from delivery.verify.streams import streamed

# With a time, offsets are looked at from so many before the first that arrived since then: so that
# what was lost right before that time is found too.
OVERLAP = 10_000

# For each partition its first and its last offset, and whether each offset between them is in the
# logs, once. 64 offsets make a row, so that little is sorted. If each has as many rows as bits, no
# offset is there twice; and if they are as many as the offsets, none is missing. A replayed dead
# letter does not count: its record must be in another log.
_PARTITIONS = """
WITH named AS (
    SELECT record_topic COLLATE "C" AS topic, record_partition AS part, record_topic_id AS topic_id,
           record_offset, true AS counts
    FROM processed_events
    UNION ALL
    SELECT record_topic, record_partition, record_topic_id, record_offset, true
    FROM duplicate_events
    UNION ALL
    SELECT record_topic, record_partition, record_topic_id, record_offset,
           resolution IS DISTINCT FROM 'replayed'
    FROM dead_letters
    UNION ALL
    SELECT record_topic, record_partition, record_topic_id,
           generate_series(lower(span), upper(span) - 1), true
    FROM archived_offsets, unnest(offsets) AS span
), blocks AS (
    SELECT topic, part, topic_id, min(record_offset) AS first, max(record_offset) AS last,
           count(*) FILTER (WHERE counts) AS rows,
           bit_or(1::bigint << (record_offset & 63)::integer) FILTER (WHERE counts) AS bits
    FROM named GROUP BY topic, part, topic_id, record_offset >> 6
), partitions AS (
    SELECT topic, part, topic_id, min(first) AS first, max(last) AS last,
           sum(rows) = max(last) - min(first) + 1
           AND bool_and(bit_count(bits::bit(64)) = rows) AS is_whole
    FROM blocks GROUP BY topic, part, topic_id
)
SELECT topic, part, topic_id, first, last,
       is_whole AND count(*) OVER (PARTITION BY topic, part) = 1 AS is_whole
FROM partitions ORDER BY topic, part
"""

# A replayed dead letter is no row of its own, but its coordinates must be another log's. A row that
# does not know its topic's id counts as one of today's topic, unless that has a row there too.
_OCCUPIED = SQL("""
WITH wanted AS (
    SELECT * FROM unnest(%(topics)s::text[], %(partitions)s::integer[], %(starts)s::bigint[])
        AS w (topic, part, start)
), named AS (
    SELECT record_topic, record_partition, record_topic_id, record_offset, order_id,
           'processed_events' AS log
    FROM wanted JOIN processed_events
      ON record_topic = topic AND record_partition = part AND record_offset >= start
    UNION ALL
    SELECT record_topic, record_partition, record_topic_id, record_offset, order_id,
           'duplicate_events'
    FROM wanted JOIN duplicate_events
      ON record_topic = topic AND record_partition = part AND record_offset >= start
    UNION ALL
    SELECT record_topic, record_partition, record_topic_id, record_offset, order_id,
           CASE WHEN resolution = 'replayed' THEN NULL ELSE 'dead_letters' END
    FROM wanted JOIN dead_letters
      ON record_topic = topic AND record_partition = part AND record_offset >= start
    UNION ALL
    SELECT record_topic, record_partition, record_topic_id,
           generate_series(greatest(lower(span), start), upper(span) - 1), NULL,
           'archived_offsets'
    FROM wanted JOIN archived_offsets
      ON record_topic = topic AND record_partition = wanted.part AND block >= start >> 16,
         unnest(offsets) AS span
), known AS (
    SELECT record_topic COLLATE "C" AS topic, record_partition, record_offset, order_id, log,
           CASE WHEN record_topic_id <> %(unknown)s
                     OR bool_or(record_topic_id = %(today)s) OVER there
                THEN record_topic_id ELSE %(today)s END AS topic_id
    FROM named
    WINDOW there AS (PARTITION BY record_topic COLLATE "C", record_partition, record_offset)
), coordinates AS (
    SELECT topic, record_partition, topic_id, record_offset, count(log) AS rows,
           min(log) AS first_log, max(log) AS last_log,
           min(order_id) AS first_order, max(order_id) AS last_order
    FROM known GROUP BY 1, 2, 3, 4
), neighbours AS (
    SELECT *, lag(record_offset) OVER upwards AS previous,
           lead(record_offset) OVER upwards IS NULL AS is_last
    FROM coordinates
    WINDOW upwards AS (PARTITION BY topic, record_partition, topic_id ORDER BY record_offset)
)
SELECT * FROM neighbours
WHERE rows <> 1 OR previous IS DISTINCT FROM record_offset - 1 OR is_last
ORDER BY topic, record_partition, topic_id, record_offset
""")

_FIRST_SINCE = """
SELECT record_topic, record_partition, min(record_offset)
FROM (
    SELECT record_topic, record_partition, record_offset FROM processed_events
    WHERE consumed_at >= %(since)s
    UNION ALL
    SELECT record_topic, record_partition, record_offset FROM duplicate_events
    WHERE consumed_at >= %(since)s
    UNION ALL
    SELECT record_topic, record_partition, record_offset FROM dead_letters
    WHERE consumed_at >= %(since)s
) AS arrived
GROUP BY record_topic, record_partition
"""

_FROM_THE_BEGINNING = """
SELECT count(DISTINCT (record_topic, record_partition)) FROM processed_events
WHERE record_topic = ANY(%s) AND record_offset = 0
"""
# This reads the whole log where there are none. With a 1, as Citus wants it.
_HAS_IMPORTS = f"""
SELECT EXISTS (SELECT 1 FROM processed_events WHERE record_topic LIKE '{PREFIX}%')
"""  # noqa: S608


def begins_with_a_takeover(connection: Connection, committed: Mapping[Partition, int]) -> bool:
    """Whether a service before read the first records, and what it knew was imported."""
    topics = [topic for topic, _ in committed]
    ((whole,),) = connection.execute(_FROM_THE_BEGINNING, (topics,))
    if whole >= len(committed):
        return False
    ((has_imports,),) = connection.execute(_HAS_IMPORTS)
    return bool(has_imports)


def everywhere(connection: Connection, today: UUID) -> Iterator[Occupied]:
    """What `coordinates.account` has to see of all partitions that the logs name.

    `today` is the id that the topic has now. A partition that is in the logs offset by offset shows
    its first and its last one. The others take three times as long: each of their coordinates is
    sorted.
    """
    others = {}
    found = connection.execute(_PARTITIONS).fetchall()
    for topic, partition, topic_id, first, last, is_whole in found:
        if is_whole:
            known = today if topic_id == UNKNOWN_TOPIC_ID else topic_id
            yield from _ends((topic, partition, known), first, last)
        else:
            others[topic, partition] = 0
    if others:
        yield from behind(connection, others, today)


def behind(
    connection: Connection, starts: Mapping[Partition, int], today: UUID
) -> Iterator[Occupied]:
    """What `coordinates.account` has to see of these partitions, from an offset on."""
    columns = {
        "today": today,
        "unknown": UNKNOWN_TOPIC_ID,
        "topics": [topic for topic, _ in starts],
        "partitions": [partition for _, partition in starts],
        "starts": list(starts.values()),
    }
    return map(Occupied._make, streamed(connection, _OCCUPIED, columns))


def starts(
    connection: Connection, committed: Mapping[Partition, int], since: datetime
) -> dict[Partition, int]:
    """Where to begin in each partition that had records since then, or has a committed offset."""
    first = dict(committed)
    for topic, partition, offset in connection.execute(_FIRST_SINCE, {"since": since}):
        first[topic, partition] = min(offset, committed.get((topic, partition), offset))
    return {partition: max(0, offset - OVERLAP) for partition, offset in first.items()}


def _ends(partition: PartitionLog, first: int, last: int) -> Iterator[Occupied]:
    one = Occupied(*partition, first, 1, None, None, None, None, None, first == last)
    yield one
    if first < last:
        yield one._replace(offset=last, previous=last - 1, is_last=True)
