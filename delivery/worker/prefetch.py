"""The next batch, polled and decoded while PostgreSQL works on the one before.

Half of processing a batch is waiting: PostgreSQL takes longer to look up its orders, and for the
rows of a COPY, than we need to send them. That time is used here, in the same thread: two threads
would fight for one interpreter and would have to be thought about.

What is prefetched stands in no transaction, and its offsets are not committed. A worker that stops
forgets it, and one whose batch failed rewinds to before both: Kafka still has the records.
"""

from dataclasses import dataclass, field

from delivery.domain.event import Contract
from delivery.domain.record import Record
from delivery.inbox.transaction import Arrival, decoded
from delivery.worker.consumer import Consumer

DECODED_AT_ONCE = 700  # records in a step: PostgreSQL is waited for at several places of a batch


@dataclass
class Prefetch:
    """The batch after the one in hand, somewhere between not polled and decoded."""

    consumer: Consumer
    contract: Contract
    polled: list[Record] = field(default_factory=list)
    decoded: list[Arrival] = field(default_factory=list)
    _failure: Exception | None = None

    def take(self) -> list[Arrival]:
        """The next batch. Where none was prefetched it waits for records as a poll does.

        Raises what polling raises, or raised while a transaction was under way.
        """
        if self._failure is not None:
            raise self._failure
        self.polled = self.polled or self.consumer.poll()
        self._decode(len(self.polled))
        taken = self.decoded
        self.forget()
        return taken

    def advance(self) -> None:
        """One step towards the next batch: polled, or some of it decoded. It waits for nothing.

        An error is kept for `take`: it must not cost the batch in hand its transaction.
        """
        try:
            if self.polled:
                self._decode(DECODED_AT_ONCE)
            else:
                self.polled = self.consumer.poll_ahead()
        except Exception as error:
            self._failure = error

    def _decode(self, number: int) -> None:
        begin = len(self.decoded)
        self.decoded += decoded(self.contract, self.polled[begin : begin + number])

    def forget(self) -> None:
        """Leaves the batch to whoever polls it again, or to who took it."""
        self.polled, self.decoded = [], []
