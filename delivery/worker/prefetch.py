"""The next batch, polled and decoded while PostgreSQL works on the one before.

Half of settling a batch is waiting: PostgreSQL takes longer to look up its orders, and for the rows
of a COPY, than we need to send them. That time is used here, in the same thread: two threads would
fight for one interpreter and would have to be thought about. Behind a batch that is not full
nothing is prefetched: there is no backlog, and a poll at the wrong moment makes kafka-python wait
at the next one.

What is prefetched stands in no transaction, and its offsets are not committed. A worker that stops
forgets it, and one whose batch failed rewinds to before both: Kafka still has the records.
"""

from dataclasses import dataclass, field

from delivery.broker import consumer, membership
from delivery.domain.event import Contract
from delivery.domain.record import Record
from delivery.inbox.transaction import Arrival, decoded

DECODED_AT_ONCE = 700  # records in a step: PostgreSQL is waited for at several places of a batch


@dataclass
class Prefetch:
    """The batch after the one in hand, somewhere between not polled and decoded."""

    kafka: consumer.Consumer
    contract: Contract
    polled: list[Record] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    _failure: Exception | None = None
    _is_backlog: bool = False

    def take(self) -> list[Arrival]:
        """The next batch. Where none was prefetched it waits for records as `consumer.poll` does.

        Raises what polling raises, or raised while a transaction was under way.
        """
        if self._failure is not None:
            raise self._failure
        self.polled = self.polled or consumer.poll(self.kafka)
        self._is_backlog = consumer.is_full(self.kafka, self.polled)
        self._decode(len(self.polled))
        taken = self.arrivals
        self.forget()
        return taken

    def advance(self) -> None:
        """One step towards the next batch: polled, or some of it decoded. It waits for nothing.

        An error is kept for `take`: it must not cost the batch in hand its transaction. And a poll
        that would join the group anew is left to `take`: the batch in hand commits its offsets
        first, for the partitions may go to another worker.
        """
        try:
            if self.polled:
                self._decode(DECODED_AT_ONCE)
            elif self._is_backlog and not membership.rejoin_due(self.kafka):
                self.polled = consumer.poll(self.kafka, timeout=0)
        except Exception as error:
            self._failure = error

    def _decode(self, number: int) -> None:
        begin = len(self.arrivals)
        self.arrivals += decoded(self.contract, self.polled[begin : begin + number])

    def forget(self) -> None:
        """Leaves the batch to whoever polls it again, or to who took it."""
        self.polled, self.arrivals = [], []
