"""Rows are erased in portions, each in a transaction of its own that also says who did it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from delivery.domain.vocabulary import Criterion
from delivery.errors import RaceError, RefusedError
from delivery.postgres.database import Connection, transaction
from delivery.postgres.sqlstate import translated_errors

# Orders, or dead letters, in one transaction. A worker that writes to one of them waits for it.
PORTION = 500

# A worker may hold a delivery and wait for an event of ours, while we wait for that delivery. Then
# PostgreSQL ends one of the two, and the portion is erased in the next attempt.
ATTEMPTS = 20

# Session settings. A client that is frozen inside its transaction must not make workers wait.
SETTINGS = {"idle_in_transaction_session_timeout": "45000"}

_ERASE = """
SELECT processed_events, duplicate_events, deliveries, dead_letters
FROM erase_personal_data(%s::bigint[], %s::bigint[], %s, %s) WHERE erasure_id IS NOT NULL
"""


class Counts(NamedTuple):
    """How many rows of each table were erased."""

    processed_events: int = 0
    duplicate_events: int = 0
    deliveries: int = 0
    dead_letters: int = 0

    def plus(self, other: "Counts") -> "Counts":
        """The sums."""
        return Counts(*map(sum, zip(self, other, strict=True)))


class Portion(NamedTuple):
    """What is erased in one transaction."""

    orders: Sequence[int]
    letters: Sequence[int]


@dataclass(frozen=True, slots=True)
class Erasure:
    """Why rows are erased, and by what criterion they were found."""

    criterion: Criterion
    reason: str
    is_dry_run: bool = False

    def erase(
        self, connection: Connection, orders: Sequence[int], letters: Sequence[int]
    ) -> Iterator[Counts]:
        """Erases all that is personal of these orders, and these dead letters. Yields after each
        commit what the portion's were.

        What is erased already is left as it is, so that a run that was interrupted is run again. A
        dry run counts what the same statements do, and rolls each portion back. Raises
        UnavailableError, ForbiddenError, RaceError after too many attempts, or RefusedError where a
        constraint or a trigger of somebody else refuses the mark.
        """
        for portion in _portions(orders, letters):
            yield self._erase(connection, portion)
        if not self.is_dry_run:
            with transaction(connection):
                connection.execute("SELECT forget_statistics()")

    def _erase(self, connection: Connection, portion: Portion) -> Counts:
        race = RaceError()
        for _ in range(ATTEMPTS):
            try:
                return self._attempt(connection, portion)
            except RaceError as error:
                race = error
            except RefusedError as error:
                raise RefusedError(
                    f"the database refuses the mark ({error}): mend the constraint or trigger of "
                    "that table, and run it again"
                ) from error
        raise RaceError(f"a portion met somebody else's lock {ATTEMPTS} times ({race}): try again")

    def _attempt(self, connection: Connection, portion: Portion) -> Counts:
        values = (*map(list, portion), self.criterion, self.reason)
        with translated_errors(), connection.transaction(force_rollback=self.is_dry_run):
            row = connection.execute(_ERASE, values).fetchone()
        return Counts(*row) if row else Counts()


def _portions(orders: Sequence[int], letters: Sequence[int]) -> Iterator[Portion]:
    for first in range(0, len(orders), PORTION):
        yield Portion(orders[first : first + PORTION], ())
    for first in range(0, len(letters), PORTION):
        yield Portion((), letters[first : first + PORTION])
