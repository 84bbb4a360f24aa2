"""Finds events without the order's id: by the event's own id, or by who ordered.

Both are fast where `delivery migrate --search-indexes` has built their indexes. Without them the
log, or the deliveries, are read from their beginning to their end.
"""

import re
from dataclasses import replace

from delivery.history.filter import EventFilter, Found
from delivery.postgres import search_indexes
from delivery.postgres.database import Connection

MOST_ORDERS = 1000  # of a customer

EVENT_ID = r"^[A-Za-z0-9._:+/=@~-]{4,100}$"  # how an event's id is written

_KEYS = f"""
SELECT order_id, event_time FROM processed_events
WHERE {search_indexes.EVENT_ID} = %(event_id)s
  AND consumed_at >= coalesce(%(since)s::timestamptz, '-infinity')
  AND consumed_at < coalesce(%(until)s::timestamptz, 'infinity')
UNION
SELECT order_id, event_time FROM duplicate_events
WHERE payload_differs AND {search_indexes.EVENT_ID} = %(event_id)s
"""  # noqa: S608 (constants only)

# The first `eventId` as in the log, and not the id anywhere: that would tell of other fields. Also
# of bytes that are no JSON and no UTF-8: the others are escaped.
_LETTERS = """
SELECT dead_letter_id FROM dead_letters
WHERE split_part(split_part(encode(record_value, 'escape'), '"eventId"', 2), '"', 2) = %s
"""

# Materialized, for the planner not to walk through all orders from the newest on.
_ORDERS = """
WITH found AS MATERIALIZED (SELECT order_id FROM deliveries WHERE ordered_by = %s)
SELECT order_id FROM found ORDER BY order_id DESC LIMIT %s
"""


def narrowed(
    connection: Connection, wanted: EventFilter, event_id: str | None, ordered_by: int | None
) -> EventFilter:
    """The filter, for the rows of an event or of who ordered only, if either is given."""
    if event_id is not None:
        return replace(wanted, found=of_event(connection, event_id, wanted))
    if ordered_by is not None:
        return replace(wanted, found=of_customer(connection, ordered_by))
    return wanted


def event_id(text: str) -> str:
    """An event's id, as it stands in payloads. Raises ValueError with how it is written."""
    if re.fullmatch(EVENT_ID, text):
        return text
    raise ValueError(f"{text!r} is no event id: it has 4 to 100 letters, digits and ._:+/=@~-")


def of_event(connection: Connection, event_id: str, span: EventFilter) -> Found:
    """The events whose payload has this id as its first `eventId`, with all rows of the same order
    and event time; and the dead letters whose bytes have it so, too.

    Where `span` has times, only events that arrived within it are looked at.
    """
    given = {"event_id": event_id, "since": span.since, "until": span.until}
    with search_indexes.preferred(connection):
        keys = connection.execute(_KEYS, given).fetchall()
    letters = [letter_id for (letter_id,) in connection.execute(_LETTERS, (event_id,))]
    return Found([order_id for order_id, _ in keys], [time for _, time in keys], letters)


def of_customer(connection: Connection, ordered_by: int) -> Found:
    """The orders whose delivery names this customer, the `MOST_ORDERS` with the largest ids."""
    rows = connection.execute(_ORDERS, (ordered_by, MOST_ORDERS))
    return Found([order_id for (order_id,) in rows])
