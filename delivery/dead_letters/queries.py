"""Dead letters as people look at them: counted, in a list, by id, whole.

Every function runs in the caller's transaction and changes nothing.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.rows import dict_row

from delivery.dead_letters.letter import DeadLetter, LetterFilter, LetterStatus
from delivery.dead_letters.matching import CAUSE, MATCHES
from delivery.domain import headers
from delivery.domain.record import Coordinates, Record
from delivery.domain.vocabulary import REASONS
from delivery.postgres.database import Connection

Row = dict[str, Any]

WHOLE = 2**31 - 1  # bytes; no value of a column is longer

# Letters that are in memory at once while they are streamed: their values may be megabytes each.
STREAMED, STREAMED_WHOLE = 1000, 20

_COUNT_OPEN = """
SELECT r.reason, (SELECT count(*) FROM (
           SELECT FROM dead_letters AS l
           WHERE l.resolved_at IS NULL AND l.reason = r.reason LIMIT %s) AS open)
FROM unnest(%s::text[]) AS r (reason)
"""

_LETTER = """
SELECT dead_letter_id, consumed_at, reason, error, order_id, resolved_at, resolution,
       resolution_note, resolved_by, record_topic, record_partition, record_offset, record_topic_id,
       record_time, record_headers, erasure_id,
       substring(record_key FOR %(bytes)s) AS record_key,
       substring(record_value FOR %(bytes)s) AS record_value,
       octet_length(record_value) AS value_bytes
FROM dead_letters
"""

_OLDEST_FIRST = f"{_LETTER} WHERE {MATCHES} ORDER BY dead_letter_id LIMIT %(limit)s"

_NEWEST_FIRST = f"""
SELECT dead_letter_id, consumed_at, reason, left(error, 500) AS error, order_id, record_topic,
       record_partition, record_offset, resolution, resolved_at, resolved_by,
       CASE WHEN resolved_at IS NULL THEN substring(record_value FOR 4000) END AS beginning,
       octet_length(record_value) AS value_bytes
FROM dead_letters
WHERE {MATCHES} AND (%(before)s::bigint IS NULL OR dead_letter_id < %(before)s)
ORDER BY dead_letter_id DESC LIMIT %(limit)s
"""  # noqa: S608 (constants only)

_OPEN_IDS = f"SELECT dead_letter_id FROM dead_letters WHERE {MATCHES} ORDER BY dead_letter_id"  # noqa: S608

_FIND = f"{_LETTER} WHERE dead_letter_id = ANY(%(ids)s)"

_AT = """
SELECT dead_letter_id FROM dead_letters
WHERE record_topic = %s AND record_partition = %s AND record_offset = %s ORDER BY dead_letter_id
"""

_NEIGHBOURS = f"""
SELECT (SELECT min(dead_letter_id) FROM dead_letters
        WHERE {MATCHES} AND dead_letter_id > %(dead_letter_id)s),
       (SELECT max(dead_letter_id) FROM dead_letters
        WHERE {MATCHES} AND dead_letter_id < %(dead_letter_id)s)
"""  # noqa: S608 (constants only)

# Errors of 500 characters that are alike are of one cause, as in `groups`.
_ALIKE = f"""
WITH letter AS (
    SELECT reason, left({CAUSE}, 500) AS cause FROM dead_letters
    WHERE dead_letter_id = %(dead_letter_id)s)
SELECT (SELECT cause FROM letter), count(*) FILTER (WHERE cause = (SELECT cause FROM letter)),
       count(*)
FROM (SELECT left({CAUSE}, 500) AS cause FROM dead_letters
      WHERE resolved_at IS NULL AND dead_letter_id <> %(dead_letter_id)s
        AND reason = (SELECT reason FROM letter)
      LIMIT %(limit)s) AS others
"""  # noqa: S608 (constants only)

_STATUS = """
SELECT dead_letter_id, record_topic, record_partition, record_offset, reason, error, resolution
FROM dead_letters WHERE dead_letter_id = ANY(%s) ORDER BY dead_letter_id
"""


def count_open(connection: Connection, at_most: int | None = None) -> dict[str, int]:
    """How many letters of each reason nobody has resolved. Every reason is named, also with 0.

    `at_most` bounds the cost: a reason with as many letters is counted no further.
    """
    return dict(connection.execute(_COUNT_OPEN, (at_most, list(REASONS))).fetchall())


def oldest_first(
    connection: Connection, wanted: LetterFilter, limit: int | None = None, *, beginning_bytes: int
) -> Iterator[DeadLetter]:
    """The letters that match. Of their records' keys and values `beginning_bytes` are read.

    Streamed by a cursor of the server: memory does not grow with their number.
    """
    with connection.cursor("dead_letters", row_factory=dict_row) as cursor:
        cursor.itersize = STREAMED_WHOLE if beginning_bytes else STREAMED
        given = vars(wanted) | {"limit": limit, "bytes": beginning_bytes}
        for row in cursor.execute(_OLDEST_FIRST, given, binary=True):  # a record's bytes as bytes
            yield _letter(**row)


def newest_first(
    connection: Connection, wanted: LetterFilter, before: int | None, limit: int
) -> list[Row]:
    """The newest letters without contents; with `before`, the newest of those with smaller ids.

    `error` is cut to its first 500 characters. `beginning` has the first 4000 of the `value_bytes`
    of an open letter's value.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        given = vars(wanted) | {"before": before, "limit": limit}
        return cursor.execute(_NEWEST_FIRST, given).fetchall()


def open_ids(connection: Connection, wanted: LetterFilter | None = None) -> list[int]:
    """The ids of the letters that match, the oldest first: of all open ones if nothing is given."""
    wanted = wanted or LetterFilter()
    return [letter_id for (letter_id,) in connection.execute(_OPEN_IDS, vars(wanted))]


def ids_at(connection: Connection, coordinates: Coordinates) -> list[int]:
    """The ids of the letters at a record's coordinates: one for each incarnation of its topic."""
    return [letter_id for (letter_id,) in connection.execute(_AT, coordinates)]


def find(
    connection: Connection, ids: Sequence[int], beginning_bytes: int = WHOLE
) -> list[DeadLetter]:
    """The letters of these ids that exist, in any order.

    Of their records' keys and values only the first `beginning_bytes` are read.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        given = {"ids": list(ids), "bytes": beginning_bytes}
        rows = cursor.execute(_FIND, given, binary=True)  # a record's bytes as bytes
        return [_letter(**row) for row in rows]


def neighbours(
    connection: Connection, dead_letter_id: int, wanted: LetterFilter
) -> tuple[int | None, int | None]:
    """The next newer and the next older letter among those that match."""
    given = vars(wanted) | {"dead_letter_id": dead_letter_id}
    ((newer, older),) = connection.execute(_NEIGHBOURS, given)
    return newer, older


class Alike(NamedTuple):
    """The other open letters of a letter's cause; `is_more` if not all of its reason were seen."""

    cause: str
    letters: int
    is_more: bool


def alike(connection: Connection, dead_letter_id: int, at_most: int) -> Alike:
    """The letters like this one. Looks at `at_most` of its reason, so that the cost is bounded."""
    given = {"dead_letter_id": dead_letter_id, "limit": at_most}
    ((cause, letters, seen),) = connection.execute(_ALIKE, given)
    return Alike(cause, letters, seen >= at_most)


def status(connection: Connection, ids: Sequence[int]) -> list[LetterStatus]:
    """What became of the letters of these ids that exist, in the order of their ids."""
    rows = connection.execute(_STATUS, (list(ids),))
    return [
        LetterStatus(letter_id, (topic, partition, offset), reason, error, resolution)
        for letter_id, topic, partition, offset, reason, error, resolution in rows
    ]


def _letter(
    *,
    record_topic: str,
    record_partition: int,
    record_offset: int,
    record_topic_id: UUID,
    record_time: Any,
    record_key: bytes | None,
    record_value: bytes | None,
    record_headers: list[headers.Members],
    **columns: Any,
) -> DeadLetter:
    record = Record(
        record_topic,
        record_partition,
        record_offset,
        record_time,
        record_key,
        record_value,
        headers.from_json(record_headers),
        record_topic_id,
    )
    return DeadLetter(record=record, **columns)
