"""What the pages ask of the database. Each query has a bounded cost, whatever the log's length.

They run inside the caller's transaction, and change nothing.
"""

from typing import Any

from psycopg.rows import dict_row

from delivery.domain.vocabulary import REASONS
from delivery.history import sql
from delivery.history.filter import COLUMNS, ORDER, EventFilter, Position
from delivery.postgres.database import Connection

Row = dict[str, Any]

# Bytes of payload that one page takes, and characters of what is beyond that.
PAYLOADS_AT_ONCE = 2_000_000
BEGINNING = 20_000

# Open letters are counted so far, for each reason. Beyond it, the exact number helps nobody.
MOST_LETTERS = 1000

_OF_A_RECORD = tuple(name for name in COLUMNS if name not in {"payload", "error"})

_DELIVERY = "SELECT * FROM deliveries WHERE order_id = %s"

# The newest rows of an order first. OFFSET 0 keeps the planner from walking through the log by time
# in the hope to meet them. Payloads are read for these rows only, the newest first, as long as they
# are not too many bytes together; of those beyond it, the beginning.
_ORDER = """
SELECT r.*, octet_length(r.payload::text) AS payload_bytes,
       sum(octet_length(r.payload::text))
           OVER (ORDER BY consumed_at DESC, record_topic DESC, record_partition DESC,
                 record_offset DESC) <= %(bytes)s AS is_whole
FROM (
    SELECT * FROM (SELECT * FROM event_history WHERE order_id = %(order_id)s OFFSET 0) AS o
    WHERE %(before)s::timestamptz IS NULL
       OR (consumed_at, record_topic, record_partition, record_offset)
          < (%(before)s, %(topic)s, %(partition)s, %(offset)s)
    ORDER BY consumed_at DESC, record_topic DESC, record_partition DESC, record_offset DESC
    LIMIT %(limit)s
) AS r
"""
_TIMELINE = f"""
SELECT order_id, event_time, outcome, record_topic, record_partition, record_offset, record_time,
       consumed_at, reason, error, dead_letter_id, resolution, payload_bytes, is_whole,
       CASE WHEN is_whole THEN payload::text ELSE left(payload::text, %(beginning)s) END AS payload
FROM ({_ORDER}) AS r
ORDER BY consumed_at, record_topic, record_partition, record_offset
"""  # noqa: S608 (constants only)

_SHAPED_BEFORE = """
SELECT CASE WHEN octet_length(payload::text) <= %(bytes)s THEN payload::text END
FROM (SELECT * FROM processed_events WHERE order_id = %(order_id)s OFFSET 0) AS o
WHERE outcome IN ('created', 'updated')
  AND (consumed_at, record_topic, record_partition, record_offset)
      < (%(before)s, %(topic)s, %(partition)s, %(offset)s)
ORDER BY consumed_at DESC, record_topic DESC, record_partition DESC, record_offset DESC
LIMIT 1
"""

_LETTERS = """
SELECT dead_letter_id, consumed_at, reason, left(error, 500) AS error, order_id, record_topic,
       record_partition, record_offset, resolution
FROM dead_letters
WHERE (%(before)s::bigint IS NULL OR dead_letter_id < %(before)s)
  AND (%(reason)s::text IS NULL OR reason = %(reason)s)
  AND CASE %(resolution)s::text WHEN 'any' THEN true WHEN 'open' THEN resolved_at IS NULL
      ELSE resolution = %(resolution)s END
ORDER BY dead_letter_id DESC
LIMIT %(limit)s
"""

_LETTER = """
SELECT dead_letter_id, record_topic, record_partition, record_offset, record_time, reason, error,
       order_id, consumed_at, resolved_at, resolution, resolution_note, record_headers,
       substring(record_key FOR %(beginning)s) AS record_key,
       substring(record_value FOR %(beginning)s) AS record_value,
       octet_length(record_value) AS value_bytes
FROM dead_letters WHERE dead_letter_id = %(id)s
"""

_OPEN_LETTERS = """
SELECT reason, (SELECT count(*) FROM (
           SELECT FROM dead_letters AS l
           WHERE l.resolved_at IS NULL AND l.reason = r.reason LIMIT %s) AS open)
FROM unnest(%s::text[]) AS r (reason)
"""

# As ANALYZE last counted; -1 where it never did.
_ESTIMATE = """
SELECT (SELECT sum(c.reltuples) FILTER (WHERE c.reltuples >= 0)
        FROM pg_partition_tree('processed_events') AS p JOIN pg_class AS c ON c.oid = p.relid
        WHERE p.isleaf)
"""


def delivery(connection: Connection, order_id: int) -> Row | None:
    """The order's delivery under the names of its columns, or None."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_DELIVERY, (order_id,)).fetchone()


def timeline(
    connection: Connection, order_id: int, before: Position | None, limit: int
) -> list[Row]:
    """The newest rows of the order in the log's order, of those before a position if one is given.

    `payload` is text; where `is_whole` is not true, it is the beginning of it or None.
    """
    given = _position(before) | {"order_id": order_id, "limit": limit}
    bounds = {"bytes": PAYLOADS_AT_ONCE, "beginning": BEGINNING}
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_TIMELINE, given | bounds).fetchall()


def shaped_before(connection: Connection, order_id: int, before: Position) -> str | None:
    """The payload that shaped the order's delivery last before a position; None if too large."""
    given = _position(before) | {"order_id": order_id, "bytes": PAYLOADS_AT_ONCE}
    found = connection.execute(_SHAPED_BEFORE, given).fetchone()
    return found[0] if found else None


def records(
    connection: Connection, wanted: EventFilter, limit: int, before: Position | None
) -> list[Row]:
    """The newest rows of the log without their payloads, the newest first, or those before one."""
    query = sql.newest_first(wanted, limit, before, _OF_A_RECORD)
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(*query).fetchall()


def position(row: Row) -> Position:
    """Where a row of `records` or `timeline` stands in the log."""
    return Position(*(row[name] for name in ORDER))


def letters(
    connection: Connection, reason: str | None, resolution: str, before: int | None, limit: int
) -> list[Row]:
    """Dead letters without their contents, the newest first, of those before an id if given.

    `resolution` is `open`, `any`, or one of those in the table.
    """
    given = {"reason": reason, "resolution": resolution, "before": before, "limit": limit}
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_LETTERS, given).fetchall()


def letter(connection: Connection, dead_letter_id: int) -> Row | None:
    """A dead letter with the beginning of its record's key and value, or None."""
    with connection.cursor(row_factory=dict_row) as cursor:
        given = {"id": dead_letter_id, "beginning": BEGINNING}
        return cursor.execute(_LETTER, given).fetchone()


def open_letters(connection: Connection) -> dict[str, int]:
    """How many letters of each reason nobody has resolved; `MOST_LETTERS` is that many or more."""
    return dict(connection.execute(_OPEN_LETTERS, (MOST_LETTERS, list(REASONS))).fetchall())


def estimated_events(connection: Connection) -> int | None:
    """About how many events the log holds, as the database last counted them; None if it never did.

    Counting them would read every row.
    """
    row = connection.execute(_ESTIMATE).fetchone()
    return None if row is None or row[0] is None else round(row[0])


def _position(before: Position | None) -> dict[str, Any]:
    return dict(zip(("before", "topic", "partition", "offset"), before or (None,) * 4, strict=True))
