"""Records whose rows left the log with an archived month, and that are consumed again.

Their keys are no longer in the inbox, and so they would be written once more, as stale. Their
coordinates are still known: those of the archived rows, and those of their duplicates.
"""

from collections.abc import Sequence

from delivery.domain.decide import Arrival, State
from delivery.domain.record import UNKNOWN_TOPIC_ID, Coordinates
from delivery.postgres.database import Connection

# One block of offsets is read once for all of its records.
_ACCOUNTED = """
WITH wanted AS (
    SELECT topic, part, topic_id, place >> 16 AS block, range_agg(int8range(place, place + 1)) AS at
    FROM unnest(%(topics)b::text[], %(partitions)b::integer[], %(ids)b::uuid[],
                %(offsets)b::bigint[]) AS w (topic, part, topic_id, place)
    GROUP BY 1, 2, 3, 4
)
SELECT topic, wanted.part, generate_series(lower(span), upper(span) - 1)
FROM wanted JOIN archived_offsets a
  ON a.record_topic = topic AND a.record_partition = wanted.part AND a.block = wanted.block
 AND (a.record_topic_id = topic_id OR %(unknown)b IN (a.record_topic_id, topic_id)),
     unnest(a.offsets * at) AS span
UNION ALL
SELECT topic, part, d.record_offset
FROM wanted, unnest(at) AS span JOIN duplicate_events d
  ON d.record_offset >= lower(span) AND d.record_offset < upper(span)
WHERE d.record_topic = topic AND d.record_partition = part
  AND (d.record_topic_id = topic_id OR %(unknown)b IN (d.record_topic_id, topic_id))
"""


def without_accounted(
    connection: Connection, state: State, events: Sequence[Arrival]
) -> list[Arrival]:
    """The events without those whose record has its row already, in an archive or beside it."""
    unknown = [
        record
        for record, event in events
        if event.order_id in state.deliveries
        and (event.order_id, event.event_time) not in state.inbox
    ]
    if not unknown:
        return list(events)
    rows = [(r.topic, r.partition, r.topic_id, r.offset) for r in unknown]
    topics, partitions, ids, offsets = map(list, zip(*rows, strict=True))
    given = {"topics": topics, "partitions": partitions, "ids": ids, "offsets": offsets}
    found = connection.execute(_ACCOUNTED, given | {"unknown": UNKNOWN_TOPIC_ID})
    accounted: set[Coordinates] = {(topic, part, offset) for topic, part, offset in found}
    return [(record, event) for record, event in events if record.coordinates not in accounted]
