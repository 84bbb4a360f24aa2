"""What a worker reports to whoever watches it. The loop calls it and does not know who listens."""

from collections.abc import Sequence
from typing import Protocol

from delivery.domain.record import Record
from delivery.inbox.transaction import BatchResult


class Recorder(Protocol):
    """Records the figures of one worker. No method fails, waits or asks a server."""

    def polled(self) -> None:
        """A poll has returned, with records or without."""

    def heartbeat(self) -> None:
        """The batch in hand makes progress: one that is halved again and again takes long. Or it
        waits for what no restart would bring. Any thread may call this.
        """

    def result(self, result: BatchResult) -> None:
        """A transaction is committed: the whole batch's, or that of a portion of it."""

    def batch(self, batch: Sequence[Record]) -> None:
        """All of the last poll's records are committed."""

    def retry(self) -> None:
        """The database is unavailable; the batch is put back."""

    def lost(self, records: int) -> None:
        """Retention deleted so many records before they were read."""

    def lacked(self, records: int) -> None:
        """So many records were read again that the log lacked: the database was behind Kafka."""


class NoOpRecorder:
    """The recorder of a worker that nobody watches."""

    def polled(self) -> None:
        pass

    def heartbeat(self) -> None:
        pass

    def result(self, result: BatchResult) -> None:
        pass

    def batch(self, batch: Sequence[Record]) -> None:
        pass

    def retry(self) -> None:
        pass

    def lost(self, records: int) -> None:
        pass

    def lacked(self, records: int) -> None:
        pass
