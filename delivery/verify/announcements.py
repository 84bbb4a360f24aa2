"""Each created delivery was announced or is still to be, once, since the outbox was switched on."""

from collections.abc import Iterator
from datetime import datetime

from psycopg.sql import SQL

from delivery.postgres.database import Connection
from delivery.verify.finding import Finding
from delivery.verify.streams import is_archived, streamed, within_calendar

# Whether there is anything to compare: PostgreSQL, which takes an empty table for one of some rows,
# would read the whole log otherwise. Asked apart, for Citus refuses it beside an outer join.
_IS_ANY = """
SELECT EXISTS (SELECT FROM outbox_periods),
       EXISTS (SELECT FROM outbox) OR EXISTS (SELECT FROM announcements)
"""

# What was imported was not created here: the service before announced it.
_UNANNOUNCED = SQL("""
SELECT p.order_id, {event_time}, p.record_topic, p.record_partition, p.record_offset
FROM processed_events p
JOIN outbox_periods s ON p.consumed_at >= s.switched_on_at
                     AND p.consumed_at < coalesce(s.switched_off_at, 'infinity')
LEFT JOIN outbox o USING (consumed_at, order_id, event_time)
LEFT JOIN announcements a ON a.order_id = p.order_id AND a.event_time = p.event_time
WHERE p.outcome = 'created' AND p.record_topic NOT LIKE 'import:%%'
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
WHERE p.order_id IS NULL AND NOT {is_archived}
  AND n.time >= coalesce(%(since)s, '-infinity'::timestamptz)
ORDER BY n.order_id
""").format(event_time=within_calendar("n.event_time"), is_archived=is_archived("n.event_time"))


def findings(connection: Connection, since: datetime | None) -> Iterator[Finding]:
    """The findings of all announcements; with `since` of what arrived since then."""
    ((was_on, is_announced),) = connection.execute(_IS_ANY)
    if was_on:
        yield from _unannounced(connection, since)
    if is_announced:
        yield from _announced(connection, since)


def _unannounced(connection: Connection, since: datetime | None) -> Iterator[Finding]:
    rows = streamed(connection, _UNANNOUNCED, {"since": since})
    for order_id, event_time, topic, partition, offset in rows:
        detail = "it was created while the outbox was on, and is neither announced nor to be"
        yield Finding(
            "unannounced_delivery", detail, order_id, event_time, (topic, partition, offset)
        )


def _announced(connection: Connection, since: datetime | None) -> Iterator[Finding]:
    for order_id, event_time in streamed(connection, _OPEN_TWICE):
        detail = "it was announced, and the outbox has it still"
        yield Finding("announced_and_open", detail, order_id, event_time)
    for order_id, event_time in streamed(connection, _OF_NO_DELIVERY, {"since": since}):
        detail = "the log has no event of this order and time that created a delivery"
        yield Finding("announced_nothing", detail, order_id, event_time)
