"""Each created delivery was announced or is still to be, once, since the outbox was switched on."""

from collections.abc import Iterator
from datetime import datetime

from psycopg.sql import SQL

from delivery.postgres.database import Connection
from delivery.verify.finding import Finding
from delivery.verify.streams import is_archived, streamed, within_calendar

# Two say whether there is anything to compare: PostgreSQL, which takes an empty table for one of
# some rows, would read the whole log otherwise.
# What was imported was not created here: the service before announced it.
_UNANNOUNCED = SQL("""
SELECT p.order_id, {event_time}, p.record_topic, p.record_partition, p.record_offset
FROM processed_events p
JOIN outbox_periods s ON p.consumed_at >= s.switched_on_at
                     AND p.consumed_at < coalesce(s.switched_off_at, 'infinity')
LEFT JOIN outbox o USING (consumed_at, order_id, event_time)
LEFT JOIN announcements a ON a.order_id = p.order_id AND a.event_time = p.event_time
WHERE EXISTS (SELECT FROM outbox_periods)
  AND p.outcome = 'created' AND p.record_topic NOT LIKE 'import:%%'
  AND o.order_id IS NULL AND a.order_id IS NULL
  AND p.consumed_at >= coalesce(%(since)s, '-infinity'::timestamptz)
ORDER BY p.order_id
""").format(event_time=within_calendar("p.event_time"))

_OPEN_TWICE = SQL("""
SELECT o.order_id, {event_time} FROM outbox o
JOIN announcements a ON a.order_id = o.order_id AND a.event_time = o.event_time
ORDER BY o.order_id
""").format(event_time=within_calendar("o.event_time"))

_OF_NO_DELIVERY = SQL("""
SELECT n.order_id, {event_time}
FROM (SELECT order_id, event_time, consumed_at FROM outbox
      UNION ALL
      SELECT order_id, event_time, announced_at FROM announcements) n (order_id, event_time, time)
LEFT JOIN processed_events p ON p.order_id = n.order_id AND p.event_time = n.event_time
                            AND p.outcome = 'created'
WHERE (EXISTS (SELECT FROM outbox) OR EXISTS (SELECT FROM announcements))
  AND p.order_id IS NULL AND NOT {is_archived}
  AND n.time >= coalesce(%(since)s, '-infinity'::timestamptz)
ORDER BY n.order_id
""").format(event_time=within_calendar("n.event_time"), is_archived=is_archived("n.event_time"))


def findings(connection: Connection, since: datetime | None) -> Iterator[Finding]:
    """The findings of all announcements; with `since` of what arrived since then."""
    values = {"since": since}
    for order_id, event_time, *coordinates in streamed(connection, _UNANNOUNCED, values):
        topic, partition, offset = coordinates
        detail = "it was created while the outbox was on, and is neither announced nor to be"
        yield Finding(
            "unannounced_delivery", detail, order_id, event_time, (topic, partition, offset)
        )
    for order_id, event_time in streamed(connection, _OPEN_TWICE):
        detail = "it was announced, and the outbox has it still"
        yield Finding("announced_and_open", detail, order_id, event_time)
    for order_id, event_time in streamed(connection, _OF_NO_DELIVERY, values):
        detail = "the log has no event of this order and time that created a delivery"
        yield Finding("announced_nothing", detail, order_id, event_time)
