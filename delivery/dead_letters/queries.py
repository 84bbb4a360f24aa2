"""Dead letters as people look at them: in a list, by id, whole."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from psycopg.rows import dict_row

from delivery.domain.record import Header, Place, Record
from delivery.domain.vocabulary import Reason
from delivery.postgres.database import Connection, transaction

# What is told of a letter in a list: all but the record's contents.
COLUMNS = ("dead_letter_id", "consumed_at", "reason", "order_id", "record_topic",
           "record_partition", "record_offset", "record_time", "error", "resolved_at",
           "resolution", "resolution_note")  # fmt: skip

_LIST = """
SELECT dead_letter_id, consumed_at, reason, order_id, record_topic, record_partition, record_offset,
       record_time, error, resolved_at, resolution, resolution_note
FROM dead_letters
WHERE (%(all)s OR resolved_at IS NULL) AND (%(reason)s::text IS NULL OR reason = %(reason)s)
ORDER BY dead_letter_id
LIMIT %(limit)s
"""

_OPEN = """
SELECT dead_letter_id FROM dead_letters
WHERE resolved_at IS NULL AND (%(reason)s::text IS NULL OR reason = %(reason)s)
ORDER BY dead_letter_id
"""

_FIND = "SELECT * FROM dead_letters WHERE dead_letter_id = ANY(%s)"

_STATUS = """
SELECT dead_letter_id, record_topic, record_partition, record_offset, reason, error, resolution
FROM dead_letters WHERE dead_letter_id = ANY(%s) ORDER BY dead_letter_id
"""


@dataclass(frozen=True)
class DeadLetter:
    """A dead letter: the record as it came, why it was rejected, and what became of it since."""

    dead_letter_id: int
    record: Record
    consumed_at: datetime
    reason: Reason
    error: str
    order_id: int | None
    resolved_at: datetime | None
    resolution: str | None
    resolution_note: str | None


class LetterStatus(NamedTuple):
    """How a letter stands, without its record's contents. `resolution` is None while it is open."""

    dead_letter_id: int
    place: Place
    reason: Reason
    error: str
    resolution: str | None


def listed(
    connection: Connection, reason: Reason | None, resolved_too: bool, limit: int | None
) -> Iterator[tuple[Any, ...]]:
    """Rows of `COLUMNS`, the oldest letters first, without the records' contents.

    Streamed by a cursor of the server: memory does not grow with their number.
    """
    with transaction(connection), connection.cursor(name="dead_letters") as cursor:
        yield from cursor.execute(_LIST, {"all": resolved_too, "reason": reason, "limit": limit})


def open_ids(connection: Connection, reason: Reason | None) -> list[int]:
    """The ids of the letters that nobody has resolved, the oldest first."""
    with transaction(connection):
        return [i for (i,) in connection.execute(_OPEN, {"reason": reason})]


def find(connection: Connection, ids: Sequence[int]) -> list[DeadLetter]:
    """The letters of these ids that exist, whole, in any order."""
    with transaction(connection), connection.cursor(row_factory=dict_row) as cursor:
        return [_letter(row) for row in cursor.execute(_FIND, (list(ids),))]


def status(connection: Connection, ids: Sequence[int]) -> list[LetterStatus]:
    """How the letters of these ids stand that exist, in the order of their ids."""
    with transaction(connection):
        return [
            LetterStatus(letter_id, (topic, partition, offset), *rest)
            for letter_id, topic, partition, offset, *rest in connection.execute(
                _STATUS, (list(ids),)
            )
        ]


def _letter(row: dict[str, Any]) -> DeadLetter:
    record = Record(
        row["record_topic"],
        row["record_partition"],
        row["record_offset"],
        row["record_time"],
        row["record_key"],
        row["record_value"],
        [_header(header) for header in row["record_headers"]],
    )
    told = {name: row[name] for name in COLUMNS if not name.startswith("record_")}
    return DeadLetter(record=record, **told)


def _header(header: dict[str, str | None]) -> Header:
    if "value_hex" in header:
        return str(header["key"]), bytes.fromhex(str(header["value_hex"]))
    value = header["value"]
    return str(header["key"]), None if value is None else value.encode()
