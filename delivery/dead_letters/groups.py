"""Dead letters by cause: those of one reason whose errors differ only in numbers are one group."""

from typing import Any

from psycopg.rows import dict_row

from delivery.dead_letters.letter import LetterFilter
from delivery.dead_letters.matching import CAUSE, MATCHES
from delivery.postgres.database import Connection

# Errors of 500 characters that are alike are of one cause, too.
_GROUPS = f"""
SELECT count(*) AS letters, reason, left({CAUSE}, 500) AS error,
       min(consumed_at) AS first_seen, max(consumed_at) AS last_seen,
       min(dead_letter_id) AS first_id
FROM dead_letters WHERE {MATCHES}
GROUP BY 2, 3 ORDER BY 1 DESC, 2, 3 LIMIT %(limit)s
"""  # noqa: S608 (constants only)


def largest_first(
    connection: Connection, wanted: LetterFilter, limit: int | None = None
) -> list[dict[str, Any]]:
    """The groups of the letters that match, with their numbers and times, the largest first.

    Reads every letter that matches. Runs in the caller's transaction and changes nothing.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_GROUPS, vars(wanted) | {"limit": limit}).fetchall()
