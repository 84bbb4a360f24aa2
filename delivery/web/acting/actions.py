"""What people did from the pages, as it is written down. Each function is one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import class_row

from delivery.domain.vocabulary import Action
from delivery.postgres.database import Connection, transaction

# How one ends that somebody cut off.
INTERRUPTED = "`delivery serve` ended meanwhile"

# A portion of letters takes seconds at most. Who has told of none for so long was ended.
_IS_LOST = "ended_at IS NULL AND progressed_at < now() - interval '2 min'"

_END_LOST = f"UPDATE operator_actions SET ended_at = now(), error = %s WHERE {_IS_LOST}"  # noqa: S608

# A unique index lets one be under way, whichever process it is in.
_BEGIN = """
INSERT INTO operator_actions (acted_by, action, reason, letters, chosen)
VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING action_id
"""

_REVEAL = """
INSERT INTO operator_actions (acted_by, action, reason, letters, chosen, done, ended_at)
VALUES (%s, 'reveal', %s, %s, 1, 1, now())
"""

_PROGRESS = """
UPDATE operator_actions SET done = done + %s, progressed_at = now()
WHERE action_id = %s AND ended_at IS NULL
"""

_END = """
UPDATE operator_actions SET ended_at = now(), error = %s WHERE action_id = %s AND ended_at IS NULL
"""

_COLUMNS = f"""
action_id, begun_at, acted_by, action, reason, letters, chosen, done, progressed_at, ended_at,
error, {_IS_LOST} AS is_lost
"""

_FIND = f"SELECT {_COLUMNS} FROM operator_actions WHERE action_id = %s"  # noqa: S608 (constants)

_NEWEST = f"""
SELECT {_COLUMNS} FROM operator_actions
WHERE %(before)s::bigint IS NULL OR action_id < %(before)s
ORDER BY action_id DESC LIMIT %(limit)s
"""  # noqa: S608 (constants only)


@dataclass(frozen=True)
class Done:
    """A row of `operator_actions`. `is_lost` tells that nobody is at it any more."""

    action_id: int
    begun_at: datetime
    acted_by: str
    action: Action
    reason: str
    letters: str  # the filters of their page, as in its address
    chosen: int
    done: int
    progressed_at: datetime
    ended_at: datetime | None
    error: str | None
    is_lost: bool

    @property
    def state(self) -> str:
        """How far it is, in a word."""
        if self.is_lost or self.error == INTERRUPTED:
            return "interrupted"
        if self.ended_at is None:
            return "running"
        return "failed" if self.error else "done"


def begin(
    connection: Connection, who: str, action: Action, reason: str, letters: str, chosen: int
) -> int | None:
    """Writes down what is about to be done, and returns its id; None while another is under way."""
    with transaction(connection):
        connection.execute(_END_LOST, (INTERRUPTED,))
        row = connection.execute(_BEGIN, (who, action, reason, letters, chosen)).fetchone()
    return None if row is None else int(row[0])


def reveal(connection: Connection, who: str, reason: str, letters: str) -> None:
    """Writes down that somebody is about to see personal data."""
    with transaction(connection):
        connection.execute(_REVEAL, (who, reason, letters))


def progress(connection: Connection, action_id: int, done: int) -> bool:
    """So many letters more are done. False where it was taken for lost meanwhile."""
    with transaction(connection):
        return connection.execute(_PROGRESS, (done, action_id)).rowcount == 1


def end(connection: Connection, action_id: int, error: str | None = None) -> None:
    """It has come to its end; `error` says why not to that of all letters."""
    with transaction(connection):
        connection.execute(_END, (error, action_id))


def find(connection: Connection, action_id: int) -> Done | None:
    """The action of that id."""
    found = _read(connection, _FIND, (action_id,))
    return found[0] if found else None


def newest(connection: Connection, before: int | None, limit: int) -> Sequence[Done]:
    """The newest actions; with `before`, the newest of those with smaller ids."""
    return _read(connection, _NEWEST, {"before": before, "limit": limit})


def _read(connection: Connection, query: str, values: Any) -> list[Done]:
    with transaction(connection), connection.cursor(row_factory=class_row(Done)) as cursor:
        return cursor.execute(query, values).fetchall()
