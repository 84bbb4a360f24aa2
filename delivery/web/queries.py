"""What the pages and the API read beside the log. The cost does not grow with the log.

Every function runs inside the caller's transaction, and changes nothing.
"""

from typing import Any

from psycopg.rows import dict_row

from delivery.postgres.database import Connection

Row = dict[str, Any]

# Open dead letters of a reason are counted so far. Beyond it, the exact number helps nobody.
MOST_LETTERS = 1000

_DELIVERY = """
SELECT d.*, EXISTS (
    SELECT FROM processed_events AS p
    WHERE p.order_id = d.order_id AND p.event_time = d.event_time AND p.erasure_id IS NOT NULL
) AS is_erased
FROM deliveries AS d WHERE d.order_id = %s
"""

# As ANALYZE last counted; -1 where it never did.
_ESTIMATE = """
SELECT (SELECT sum(c.reltuples) FILTER (WHERE c.reltuples >= 0)
        FROM pg_partition_tree('processed_events') AS p JOIN pg_class AS c ON c.oid = p.relid
        WHERE p.isleaf)
"""


def delivery(connection: Connection, order_id: int) -> Row | None:
    """The order's delivery under the names of its columns, or None.

    `is_erased` says that the data of the event which shaped it was erased.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_DELIVERY, (order_id,)).fetchone()


def estimated_events(connection: Connection) -> int | None:
    """About how many events the log holds, as the database last counted them; None if it never did.

    Counting them would read every row.
    """
    row = connection.execute(_ESTIMATE).fetchone()
    return None if row is None or row[0] is None else round(row[0])
