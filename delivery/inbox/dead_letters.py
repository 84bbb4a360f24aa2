"""Records that could not be processed, kept with their bytes until somebody resolves them."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from delivery.domain import headers
from delivery.domain.event import Rejection
from delivery.domain.record import Coordinates, Record, offset_ranges
from delivery.domain.vocabulary import Resolution
from delivery.errors import RaceError
from delivery.postgres.database import Connection

_AT = """
SELECT l.record_topic, l.record_partition, l.record_offset, l.resolution, l.reason, l.error
FROM unnest(%b::text[], %b::integer[], %b::bigint[], %b::bigint[]) AS span (topic, part, low, high)
JOIN dead_letters l ON l.record_topic = span.topic AND l.record_partition = span.part
                   AND l.record_offset BETWEEN span.low AND span.high
"""

# A letter whose record is rejected again, for another reason by now, says the newer reason.
_INSERT = """
INSERT INTO dead_letters (record_topic, record_partition, record_offset, record_time, record_key,
                          record_value, record_headers, reason, error, order_id, consumed_at)
SELECT letter.*, %s
FROM unnest(%b::text[], %b::integer[], %b::bigint[], %b::timestamptz[], %b::bytea[], %b::bytea[],
            %b::json[], %b::text[], %b::text[], %b::bigint[]) AS letter
ON CONFLICT (record_topic, record_partition, record_offset)
DO UPDATE SET reason = excluded.reason, error = excluded.error
WHERE dead_letters.resolved_at IS NULL
"""

_RESOLVE = """
UPDATE dead_letters AS l
SET resolved_at = now(), resolution = %s
FROM unnest(%b::text[], %b::integer[], %b::bigint[]) AS r (topic, part, place)
WHERE l.record_topic = r.topic AND l.record_partition = r.part AND l.record_offset = r.place
  AND l.resolved_at IS NULL
"""


class Letter(NamedTuple):
    """What is known of a record that could not be processed."""

    resolution: str | None  # None: it is open
    reason: str
    error: str

    def says(self, rejection: Rejection) -> bool:
        """Whether the letter need not change for this rejection of its record."""
        is_open = self.resolution is None
        return not is_open or (self.reason, self.error) == (rejection.reason, rejection.error)


def at(connection: Connection, records: Sequence[Record]) -> dict[Coordinates, Letter]:
    """The letters at the coordinates of `records`."""
    rows = [(*partition, *span) for partition, span in offset_ranges(records).items()]
    columns = [list(column) for column in zip(*rows, strict=True)]
    return {
        (topic, partition, offset): Letter(*told)
        for topic, partition, offset, *told in connection.execute(_AT, columns)
    }


def insert(
    connection: Connection, rejected: Sequence[tuple[Record, Rejection]], consumed_at: datetime
) -> None:
    """Keeps the records with their bytes, in the order given."""
    if not rejected:
        return
    rows = [
        (
            *record[:6],
            headers.to_json(record.headers),
            rejection.reason,
            rejection.error,
            rejection.order_id,
        )
        for record, rejection in rejected
    ]
    columns = [list(column) for column in zip(*rows, strict=True)]
    connection.execute(_INSERT, (consumed_at, *columns))


def resolve(connection: Connection, places: Sequence[Coordinates], resolution: Resolution) -> None:
    """Marks the open letters at `places`. Raises RaceError if one was resolved in between."""
    if not places:
        return
    columns = [list(column) for column in zip(*places, strict=True)]
    if connection.execute(_RESOLVE, (resolution, *columns)).rowcount < len(places):
        raise RaceError("a dead letter was resolved between read and update")
