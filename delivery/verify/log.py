"""The events and the duplicates, beside the deliveries that they shaped.

Each function takes a time, and then reads what arrived since then; all of it where that is None.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from psycopg.sql import SQL

from delivery.postgres.columns import DELIVERY
from delivery.postgres.database import Connection
from delivery.verify.rows import Duplicate, Entry
from delivery.verify.shares import Share
from delivery.verify.streams import is_archived, streamed, within_calendar

_LOG = SQL("""
SELECT p.order_id, {event_time}, p.outcome, CASE WHEN p.erasure_id IS NULL THEN p.payload END,
       p.record_topic, p.record_partition, p.record_offset,
       {delivery}
FROM processed_events p
LEFT JOIN deliveries d ON d.order_id = p.order_id AND {its_delivery}
WHERE {wanted}
ORDER BY p.order_id, p.consumed_at, p.record_topic COLLATE "C", p.record_partition, p.record_offset
""")
_EVENT_TIME = within_calendar("p.event_time")
_DELIVERY = SQL(", ").join(
    within_calendar(f"d.{name}") if kind == "timestamptz" else SQL(f"d.{name}")
    for name, kind in DELIVERY.items()
)
_HAS_EVENT_SINCE = SQL("""
p.order_id IN (SELECT order_id FROM processed_events WHERE consumed_at >= %(since)s)
""")
_OF_SHARE = SQL("p.order_id BETWEEN %(first)s AND %(last)s")
_DELIVERY_OF_SHARE = SQL("d.order_id BETWEEN %(first)s AND %(last)s")
_OF_THE_ENTRY = len(Entry._fields) - 1  # columns; those behind them are the delivery's

_UNLOGGED_DELIVERIES = SQL("""
SELECT order_id, {event_time} FROM deliveries d
WHERE NOT EXISTS (SELECT FROM processed_events p WHERE p.order_id = d.order_id)
  AND NOT {is_archived}
ORDER BY order_id
""").format(event_time=within_calendar("event_time"), is_archived=is_archived("event_time"))

_DUPLICATES = SQL("""
SELECT d.order_id, {event_time}, CASE WHEN d.erasure_id IS NULL THEN d.payload END,
       p.order_id IS NOT NULL OR {is_archived},
       d.record_topic, d.record_partition, d.record_offset
FROM duplicate_events d
LEFT JOIN processed_events p ON p.order_id = d.order_id AND p.event_time = d.event_time
WHERE (p.order_id IS NULL AND NOT {is_archived} OR d.payload IS NOT NULL) AND {wanted}
ORDER BY d.record_topic COLLATE "C", d.record_partition, d.record_offset
""")

_COUNTS = SQL("""
SELECT (SELECT count(*) FROM duplicate_events d WHERE {wanted}),
       (SELECT count(*) FROM dead_letters d WHERE {wanted})
""")

_ALL = SQL("true")
_SINCE = SQL("d.consumed_at >= %(since)s")


def entries(
    connection: Connection, since: datetime | None, share: Share | None = None
) -> Iterator[Entry]:
    """The log, or a share of it: order by order, and within an order as it was written.

    Of an order that had an event since then it is all events.
    """
    wanted, its_delivery = _HAS_EVENT_SINCE if since else _ALL, _ALL
    values: dict[str, Any] = {"since": since}
    if share:
        wanted, its_delivery = _OF_SHARE, _DELIVERY_OF_SHARE
        values = share._asdict()
    query = _LOG.format(
        event_time=_EVENT_TIME, delivery=_DELIVERY, wanted=wanted, its_delivery=its_delivery
    )
    for row in streamed(connection, query, values):
        yield Entry._make((*row[:_OF_THE_ENTRY], row[_OF_THE_ENTRY:]))


def deliveries(connection: Connection) -> int:
    """How many deliveries there are."""
    ((number,),) = connection.execute("SELECT count(*) FROM deliveries")
    return int(number)


def unlogged_deliveries(connection: Connection) -> Iterator[tuple[int, datetime]]:
    """The order and the event time of each delivery whose order the log does not have. Those that
    an archived event shaped last are left out.
    """
    yield from streamed(connection, _UNLOGGED_DELIVERIES)


def duplicates(connection: Connection, since: datetime | None) -> Iterator[Duplicate]:
    """The duplicates there is something to check of, by coordinates."""
    query = _DUPLICATES.format(
        event_time=within_calendar("d.event_time"),
        is_archived=is_archived("d.event_time"),
        wanted=_SINCE if since else _ALL,
    )
    return map(Duplicate._make, streamed(connection, query, {"since": since}))


def counts(connection: Connection, since: datetime | None) -> tuple[int, int]:
    """How many duplicates and how many dead letters there are."""
    query = _COUNTS.format(wanted=_SINCE if since else _ALL)
    ((duplicates, letters),) = connection.execute(query, {"since": since})
    return duplicates, letters
