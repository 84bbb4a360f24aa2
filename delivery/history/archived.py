"""Which archived months a question about the log touches: what the log can no longer tell."""

from collections.abc import Sequence
from typing import NamedTuple

from delivery.domain.month import Month, listed
from delivery.domain.vocabulary import EVENT_OUTCOMES
from delivery.history.filter import EventFilter
from delivery.postgres.database import Connection

# An order's first event made its delivery: what was consumed before that is of other orders. For a
# record's coordinates it is known which file they went to.
_TOUCHED = """
SELECT month, file_name FROM archived_months m
WHERE last_consumed_at >= coalesce(%(since)s, '-infinity'::timestamptz)
  AND first_consumed_at < coalesce(%(until)s, 'infinity'::timestamptz)
  AND (%(order_id)s::bigint IS NULL OR last_consumed_at >= (
       SELECT created_at FROM deliveries WHERE order_id = %(order_id)s))
  AND (%(topic)s::text IS NULL OR EXISTS (
       SELECT FROM archived_offsets o
       WHERE o.record_topic = %(topic)s AND o.record_partition = %(partition)s
         AND o.block = %(offset)s::bigint >> 16 AND o.offsets @> %(offset)s::bigint
         AND (o.month, o.part) = (m.month, m.part)))
ORDER BY month, part
"""

_MOST_FILES = 12  # that are named


class ArchivedFile(NamedTuple):
    """A file that rows of a month went to."""

    month: Month
    name: str


def touched(connection: Connection, wanted: EventFilter) -> list[ArchivedFile]:
    """The files that may hold rows that are wanted, the oldest month first."""
    if wanted.outcomes and not set(wanted.outcomes) & set(EVENT_OUTCOMES):
        return []
    topic, partition, offset = wanted.coordinates or (None, None, None)
    given = {
        "since": wanted.since,
        "until": wanted.until,
        "order_id": wanted.order_id,
        "topic": topic,
        "partition": partition,
        "offset": offset,
    }
    found = connection.execute(_TOUCHED, given)
    return [ArchivedFile(Month.of(first), name) for first, name in found]


def months(files: Sequence[ArchivedFile]) -> list[str]:
    """Their months, each once."""
    return list(dict.fromkeys(str(file.month) for file in files))


def named(files: Sequence[ArchivedFile]) -> str:
    """The months with their files, as people read them: `2024-11, in FILE`; empty if none."""
    if not files:
        return ""
    names = [file.name for file in files[:_MOST_FILES]]
    if more := len(files) - len(names):
        names.append(f"and {more} more")
    return f"{listed(file.month for file in files)}, in {', '.join(names)}"
