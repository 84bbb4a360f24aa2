"""Records that could not be processed, kept with their bytes until somebody resolves them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from delivery.domain import headers
from delivery.domain.event import Rejection
from delivery.domain.record import Coordinates, Record, may_be_same_topic, offset_ranges
from delivery.domain.vocabulary import Resolution
from delivery.errors import RaceError
from delivery.postgres.database import Connection

_AT = """
SELECT l.record_topic, l.record_partition, l.record_offset, l.record_time,
       l.record_topic_id, l.dead_letter_id, l.resolution, l.reason, l.error
FROM unnest(%b::text[], %b::integer[], %b::bigint[], %b::bigint[]) AS span (topic, part, low, high)
JOIN dead_letters l ON l.record_topic = span.topic AND l.record_partition = span.part
                   AND l.record_offset BETWEEN span.low AND span.high
"""

# A letter whose record is rejected again, for another reason by now, says the newer reason.
_INSERT = """
INSERT INTO dead_letters (record_topic, record_partition, record_offset, record_topic_id,
                          record_time, record_key, record_value, record_headers, reason, error,
                          order_id, consumed_at)
SELECT letter.*, %s
FROM unnest(%b::text[], %b::integer[], %b::bigint[], %b::uuid[], %b::timestamptz[], %b::bytea[],
            %b::bytea[], %b::json[], %b::text[], %b::text[], %b::bigint[]) AS letter
ON CONFLICT (record_topic, record_partition, record_offset, record_topic_id)
DO UPDATE SET reason = excluded.reason, error = excluded.error
WHERE dead_letters.resolved_at IS NULL
  AND dead_letters.record_time IS NOT DISTINCT FROM excluded.record_time
"""

_RESOLVE = """
UPDATE dead_letters
SET resolved_at = now(), resolution = %s, resolved_by = %s, resolution_note = %s
WHERE dead_letter_id = ANY(%b::bigint[]) AND resolved_at IS NULL
"""


class Resolver(NamedTuple):
    """Who resolves letters, and why."""

    name: str
    note: str | None = None


WORKER = Resolver("worker", "its record was read again")


class Letter(NamedTuple):
    """What is known of a record that could not be processed."""

    topic_id: UUID
    dead_letter_id: int
    resolution: str | None  # None: it is open
    reason: str
    error: str

    def says(self, rejection: Rejection) -> bool:
        """Whether the letter need not change for this rejection of its record."""
        is_open = self.resolution is None
        return not is_open or (self.reason, self.error) == (rejection.reason, rejection.error)


def at(connection: Connection, records: Sequence[Record]) -> dict[Coordinates, Letter]:
    """The letters of `records`, by their coordinates.

    One of a topic that had the name before is another record's, and so is one of another time: an
    unclean leader election puts other records at the offsets of lost ones. One without a topic's id
    is from a version that knew none.
    """
    rows = [(*partition, *offsets) for partition, offsets in offset_ranges(records).items()]
    columns = [list(column) for column in zip(*rows, strict=True)]
    found = connection.execute(_AT, columns).fetchall()
    by_coordinates = {r.coordinates: r for r in records} if found else {}
    letters = [
        (by_coordinates[topic, part, offset], time, Letter(*letter))
        for topic, part, offset, time, *letter in found
        if (topic, part, offset) in by_coordinates
    ]
    return {
        record.coordinates: letter
        for record, time, letter in letters
        if time == record.time and may_be_same_topic(letter.topic_id, record.topic_id)
    }


def insert(
    connection: Connection,
    rejected: Sequence[tuple[Record, Rejection]],
    known: Mapping[Coordinates, Letter],
    consumed_at: datetime,
) -> None:
    """Keeps the records with their bytes, in the order given. A letter that is known is renewed."""
    if not rejected:
        return
    rows = [
        (
            *record.coordinates,
            known[record.coordinates].topic_id if record.coordinates in known else record.topic_id,
            record.time,
            record.key,
            record.value,
            headers.to_json(record.headers).decode(),
            rejection.reason,
            rejection.error,
            rejection.order_id,
        )
        for record, rejection in rejected
    ]
    columns = [list(column) for column in zip(*rows, strict=True)]
    connection.execute(_INSERT, (consumed_at, *columns))


def resolve(
    connection: Connection, ids: Sequence[int], resolution: Resolution, by: Resolver
) -> None:
    """Marks open letters as resolved. Raises RaceError if one was resolved in between."""
    if ids and connection.execute(_RESOLVE, (resolution, *by, ids)).rowcount < len(ids):
        raise RaceError("a dead letter was resolved between read and update")
