"""Counts of the log and of the deliveries, in the caller's transaction."""

from dataclasses import dataclass
from datetime import datetime

from delivery.domain.vocabulary import OUTCOMES, STATUSES
from delivery.postgres.database import Connection

# Each log by itself, and not by the view: a distributed PostgreSQL would fetch all its rows for it.
_OUTCOMES = """
SELECT outcome, count(*), min(consumed_at), max(consumed_at) FROM processed_events GROUP BY 1
UNION ALL
SELECT CASE WHEN payload_differs THEN 'conflict' ELSE 'duplicate' END,
       count(*), min(consumed_at), max(consumed_at)
FROM duplicate_events GROUP BY 1
UNION ALL
SELECT 'rejected', count(*), min(consumed_at), max(consumed_at)
FROM dead_letters WHERE resolution IS DISTINCT FROM 'replayed' HAVING count(*) > 0
"""

# A dead letter counts when it arrived, whatever became of it since: the past does not change.
_BY_MINUTE = """
SELECT date_trunc('minute', consumed_at), outcome, count(*)
FROM processed_events WHERE consumed_at >= %(since)s AND consumed_at < %(until)s GROUP BY 1, 2
UNION ALL
SELECT date_trunc('minute', consumed_at),
       CASE WHEN payload_differs THEN 'conflict' ELSE 'duplicate' END, count(*)
FROM duplicate_events WHERE consumed_at >= %(since)s AND consumed_at < %(until)s GROUP BY 1, 2
UNION ALL
SELECT date_trunc('minute', consumed_at), 'rejected', count(*)
FROM dead_letters WHERE consumed_at >= %(since)s AND consumed_at < %(until)s GROUP BY 1
"""

_DELIVERIES = "SELECT status, count(*) FROM deliveries GROUP BY status"


@dataclass(frozen=True)
class Log:
    """What the log holds: records by outcome, and when the first and the last one arrived.

    Every outcome is named, also with 0; the times are None while the log is empty.
    """

    outcomes: dict[str, int]
    first_consumed_at: datetime | None
    last_consumed_at: datetime | None


def by_minute(
    connection: Connection, since: datetime, until: datetime
) -> list[tuple[datetime, str, int]]:
    """How many records arrived in each minute with each outcome, where there are any.

    A dead letter that was replayed counts twice: when it was rejected, and as what it became.
    """
    return connection.execute(_BY_MINUTE, {"since": since, "until": until}).fetchall()


def deliveries(connection: Connection) -> dict[str, int]:
    """How many deliveries have each status, also with 0. It reads all of them."""
    counts: dict[str, int] = dict.fromkeys(STATUSES, 0)
    return counts | dict(connection.execute(_DELIVERIES).fetchall())


def count(connection: Connection) -> Log:
    """Counts the records. It reads the whole log: about half a second for each million rows."""
    rows = connection.execute(_OUTCOMES).fetchall()
    return Log(
        outcomes=dict.fromkeys(OUTCOMES, 0) | {outcome: records for outcome, records, *_ in rows},
        first_consumed_at=min((first for *_, first, _ in rows), default=None),
        last_consumed_at=max((last for *_, last in rows), default=None),
    )
