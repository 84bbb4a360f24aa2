"""Dead letters as values: one whole, one without its contents, and which of them are wanted."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple, get_args

from delivery.domain.record import Coordinates, Record
from delivery.domain.vocabulary import Reason, Resolution

# What became of a letter; `any` leaves it open which.
State = Literal["open", Resolution, "any"]

STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True)
class LetterFilter:
    """Which letters: those in a state for which all that is given holds.

    `since` (inclusive) and `until` (exclusive) are times of arrival, with an offset. `error` is a
    part of the error's text, in capitals or not, in which an N may stand for any number. `text`
    stands in the record's key or value as UTF-8, with the same capitals.
    """

    state: State = "open"
    reason: Reason | None = None
    since: datetime | None = None
    until: datetime | None = None
    order_id: int | None = None
    topic: str | None = None
    error: str | None = None
    text: str | None = None


@dataclass(frozen=True)
class DeadLetter:
    """A dead letter: the record as it came, why it was rejected, and what became of it since.

    `value_bytes` is the length of the record's value, of which `record` may hold the beginning
    only. With an `erasure_id` the record's contents are gone.
    """

    dead_letter_id: int
    record: Record
    value_bytes: int | None
    consumed_at: datetime
    reason: Reason
    error: str
    order_id: int | None
    resolved_at: datetime | None
    resolution: Resolution | None
    resolution_note: str | None
    resolved_by: str | None
    erasure_id: int | None = None

    @property
    def is_cut(self) -> bool:
        """Whether only the beginning of the record's value is here."""
        return self.value_bytes is not None and self.value_bytes > len(self.record.value or b"")


class LetterStatus(NamedTuple):
    """What became of a letter, without its record's contents. An open one has no resolution."""

    dead_letter_id: int
    coordinates: Coordinates
    reason: Reason
    error: str
    resolution: Resolution | None
