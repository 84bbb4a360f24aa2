"""Which rows of the log are wanted, their columns, and their order."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from delivery.domain.record import Coordinates
from delivery.domain.vocabulary import Outcome

COLUMNS = (
    "order_id",
    "event_time",
    "outcome",
    "record_topic",
    "record_partition",
    "record_offset",
    "record_time",
    "consumed_at",
    "payload",
    "reason",
    "error",
    "dead_letter_id",
    "resolution",
    "record_topic_id",
    "erasure_id",
    "record_headers",
)

COORDINATES = ("record_topic", "record_partition", "record_offset")

# The order of the log. Within one transaction it is that of the records' coordinates.
ORDER = ("consumed_at", *COORDINATES)


class Position(NamedTuple):
    """Where a row stands in the order of the log: the values of `ORDER`."""

    consumed_at: datetime
    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        """As it stands in links and cursors: `parse.position` reads it."""
        time = self.consumed_at.astimezone(UTC).isoformat()
        return f"{time}/{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True)
class Found:
    """What a search found: rows of these orders; with `event_times`, those of one of these times.

    Then dead letters, which have no such time, are those of `letters`.
    """

    orders: Sequence[int]
    event_times: Sequence[datetime] | None = None
    letters: Sequence[int] = ()


@dataclass(frozen=True)
class EventFilter:
    """Which rows of the log: those for which all that is given holds.

    `since` (inclusive) and `until` (exclusive) are times of arrival, with an offset.
    """

    order_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    outcomes: Sequence[Outcome] = ()
    coordinates: Coordinates | None = None
    found: Found | None = None
