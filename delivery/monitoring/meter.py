"""What a worker tells those who watch it: a line where something happens, and nothing of how."""

from collections.abc import Sequence
from typing import Protocol

from delivery.domain.record import Record
from delivery.inbox.transaction import Tally


class Meter(Protocol):
    """The figures of one worker. Nothing in it fails, waits or asks a server."""

    def turn(self) -> None:
        """The loop has turned: a poll has returned, with records or without."""

    def alive(self) -> None:
        """The batch in hand makes progress: one that is halved again and again takes its time."""

    def batch(self, batch: Sequence[Record], tally: Tally) -> None:
        """The database commit of the last poll's records."""

    def race(self) -> None:
        """A batch is to be decided again: somebody wrote in between."""

    def retry(self) -> None:
        """A batch is put back: the database is unavailable."""

    def lost(self, records: int) -> None:
        """Retention deleted so many records before they were read."""


class Silent:
    """The meter of a worker that nobody watches."""

    def turn(self) -> None:
        pass

    def alive(self) -> None:
        pass

    def batch(self, batch: Sequence[Record], tally: Tally) -> None:
        pass

    def race(self) -> None:
        pass

    def retry(self) -> None:
        pass

    def lost(self, records: int) -> None:
        pass
