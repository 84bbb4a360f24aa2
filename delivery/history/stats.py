"""What the log and the deliveries amount to, counted at one moment."""

from dataclasses import dataclass
from datetime import datetime

from delivery.domain.vocabulary import OUTCOMES, REASONS, STATUSES
from delivery.postgres.database import Connection

_OUTCOMES = """
SELECT outcome, count(*), min(consumed_at), max(consumed_at) FROM event_history GROUP BY outcome
"""

# A dead letter counts when it arrived, whatever became of it since: a minute that is over stays.
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

_OPEN_DEAD_LETTERS = """
SELECT reason, count(*) FROM dead_letters WHERE resolved_at IS NULL GROUP BY reason
"""


@dataclass(frozen=True)
class DeadLetters:
    """The dead letters that nobody has resolved yet. Every reason is named, also with 0."""

    open: int
    by_reason: dict[str, int]


@dataclass(frozen=True)
class Stats:
    """Counts. Every outcome and every status is named, also with 0.

    `consumed_at` of the first and of the last record in the log; None while the log is empty.
    """

    outcomes: dict[str, int]
    deliveries: dict[str, int]
    dead_letters: DeadLetters
    first_consumed_at: datetime | None
    last_consumed_at: datetime | None


def by_minute(
    connection: Connection, since: datetime, until: datetime
) -> list[tuple[datetime, str, int]]:
    """How many records arrived in which minute with which outcome, where there are any.

    A dead letter that was replayed counts twice: when it was rejected, and as what it became.
    """
    return connection.execute(_BY_MINUTE, {"since": since, "until": until}).fetchall()


def deliveries(connection: Connection) -> dict[str, int]:
    """How many deliveries have which status. It reads all of them."""
    counts: dict[str, int] = dict.fromkeys(STATUSES, 0)
    return counts | dict(connection.execute(_DELIVERIES).fetchall())


def count(connection: Connection) -> Stats:
    """Counts in the caller's transaction, which has to see one moment: see `database.snapshot`.

    It reads the whole log, for no index counts: about half a second for each million rows.
    """
    log = connection.execute(_OUTCOMES).fetchall()
    letters: dict[str, int] = dict.fromkeys(REASONS, 0)
    letters.update(connection.execute(_OPEN_DEAD_LETTERS).fetchall())
    return Stats(
        outcomes=dict.fromkeys(OUTCOMES, 0) | {outcome: n for outcome, n, *_ in log},
        deliveries=deliveries(connection),
        dead_letters=DeadLetters(sum(letters.values()), letters),
        first_consumed_at=min((first for *_, first, _ in log), default=None),
        last_consumed_at=max((last for *_, last in log), default=None),
    )
