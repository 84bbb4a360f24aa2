"""What was erased is gone, and somebody wrote down that they erased it."""

from collections.abc import Iterator
from datetime import datetime

from psycopg.sql import SQL

from delivery.postgres.database import Connection
from delivery.verify.finding import Finding
from delivery.verify.streams import streamed, within_calendar

_ERASED = SQL("""
WITH erased AS (
    SELECT order_id, event_time, record_topic, record_partition, record_offset, erasure_id,
           payload::text = erased_payload(order_id, event_time)::text
           AND record_headers IS NULL AS is_gone
    FROM processed_events WHERE erasure_id IS NOT NULL AND {wanted}
    UNION ALL
    SELECT order_id, event_time, record_topic, record_partition, record_offset, erasure_id,
           payload::text = erased_payload(order_id, event_time)::text
    FROM duplicate_events WHERE erasure_id IS NOT NULL AND {wanted}
    UNION ALL
    SELECT order_id, NULL, record_topic, record_partition, record_offset, erasure_id,
           num_nonnulls(record_key, record_value) = 0 AND record_headers::text = '[]'
           AND error = 'erased' AND coalesce(resolution_note, 'erased') = 'erased'
           AND resolved_at IS NOT NULL
    FROM dead_letters WHERE erasure_id IS NOT NULL AND {wanted}
)
SELECT order_id, {event_time}, record_topic, record_partition, record_offset, is_gone,
       EXISTS (SELECT FROM erasures AS e WHERE e.erasure_id = erased.erasure_id)
FROM erased
WHERE is_gone IS NOT TRUE
   OR NOT EXISTS (SELECT FROM erasures AS e WHERE e.erasure_id = erased.erasure_id)
ORDER BY record_topic COLLATE "C", record_partition, record_offset
""").format(
    event_time=within_calendar("event_time"),
    wanted=SQL("consumed_at >= coalesce(%(since)s, '-infinity'::timestamptz)"),
)


def findings(connection: Connection, since: datetime | None) -> Iterator[Finding]:
    """The findings of all erased rows; with `since` of what arrived since then."""
    rows = streamed(connection, _ERASED, {"since": since})
    for order_id, event_time, *where, is_gone, is_written_down in rows:
        topic, partition, offset = where
        coordinates = topic, partition, offset
        if not is_gone:
            detail = "the row says that it is erased, and holds something else than the mark"
            yield Finding("not_erased", detail, order_id, event_time, coordinates)
        if not is_written_down:
            detail = "the row says that it is erased, and no row of `erasures` is of that"
            yield Finding("erased_by_nobody", detail, order_id, event_time, coordinates)
