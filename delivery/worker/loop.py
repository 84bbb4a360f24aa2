"""The way of a record: poll -> decode -> decide -> one transaction -> offset commit.

A poll's records are one batch, and one batch is one transaction. Its offsets are committed after
the database commit, never before: what Kafka redelivers in between is recognised by its place.
"""

import gc
import logging
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import structlog

from delivery.broker import consumer, offsets
from delivery.domain.event import Contract
from delivery.domain.record import Record
from delivery.errors import FloodError, RaceError, UnavailableError
from delivery.inbox import transaction
from delivery.inbox.rejection_limit import Flood
from delivery.inbox.transaction import Arrival, Tally
from delivery.log import places
from delivery.monitoring.recorder import NoOpRecorder, Recorder
from delivery.postgres import partitions
from delivery.postgres.database import Session
from delivery.worker.prefetch import Prefetch
from delivery.worker.shutdown import Stop

log = structlog.get_logger()

# Seconds.
FIRST_DELAY = 0.1  # between two tries to reach the database
LONGEST_DELAY = 10.0
TOTALS_EVERY = 60.0


@dataclass
class Worker:
    """One member of the group, and its connection to the database."""

    kafka: consumer.Consumer
    database: Session
    contract: Contract
    flood: Flood
    recorder: Recorder = field(default_factory=NoOpRecorder)
    totals: Tally = field(default_factory=Counter)  # how many records had which outcome
    committing: consumer.Commit | None = None  # the offsets' last commit
    failures: int = 0  # of the database, since a batch was last processed
    assigned: offsets.Assignment = offsets.NOTHING_ASSIGNED
    partitions_due: datetime = field(default_factory=lambda: datetime.now(UTC))
    totals_due: float = field(default_factory=lambda: time.monotonic() + TOTALS_EVERY)
    rejection_told: bool = False  # since the totals were last told

    def run(self, stop: Stop, end: offsets.End | None = None) -> Tally:
        """Processes records until `stop` is requested, or `end` is reached where it is given.

        Raises what is not the moment's error: nothing of the batch in hand is written then, and
        Kafka keeps its records.
        """
        ahead = Prefetch(self.kafka, self.contract)
        while not stop.requested and (
            ahead.polled or not (end and offsets.reached(self.kafka, end))
        ):
            arrivals = ahead.take()
            self.recorder.polled()
            self._keep_watch()
            if arrivals:
                self._process(arrivals, ahead, stop)
        consumer.wait_for(self.committing)
        return self.totals

    def _process(self, arrivals: list[Arrival], ahead: Prefetch, stop: Stop) -> None:
        batch = [record for record, _ in arrivals]
        try:
            connection = self.database.connection()
            self.partitions_due = partitions.ensure(connection, self.partitions_due)
            meanwhile = partial(self._meanwhile, ahead)
            tally = transaction.settle(
                connection, arrivals, self.flood, self.recorder.race, meanwhile
            )
        except UnavailableError as error:
            consumer.rewind(self.kafka, [*batch, *ahead.polled])
            ahead.forget()
            self.database.drop()
            self._sit_out(error, stop)
        except (FloodError, RaceError):  # they name the place themselves
            raise
        except Exception:
            log.critical("stopping: nothing of this batch is written", at=places(batch))
            raise
        else:
            self.recorder.batch(batch, tally)
            consumer.wait_for(self.committing)  # kafka-python fails what is more than five at once
            self.committing = consumer.commit(self.kafka, batch)
            self.totals += tally
            self.failures = 0
            self._tell(batch, tally)

    def _meanwhile(self, ahead: Prefetch) -> None:
        self.recorder.heartbeat()
        ahead.advance()

    def _sit_out(self, error: UnavailableError, stop: Stop) -> None:
        """Waits before the next try, as a living member of the group: longer after each failure."""
        delay = min(FIRST_DELAY * 2**self.failures, LONGEST_DELAY)
        self.failures += 1
        self.recorder.retry()
        log.warning("database unavailable, trying again", seconds=delay, error=str(error))
        deadline = time.monotonic() + delay
        while not stop.requested and (left := deadline - time.monotonic()) > 0:
            consumer.idle(self.kafka, min(left, consumer.POLL_TIMEOUT))
            self.recorder.polled()

    def _tell(self, batch: list[Record], tally: Tally) -> None:
        """Each batch at debug; the first record that was rejected since the totals were told."""
        if log.is_enabled_for(logging.DEBUG):
            log.debug("batch", at=places(batch), records=len(batch), **tally)
        if tally["rejected"] and not self.rejection_told:
            record, rejection = self.flood.rejected[0]
            self.rejection_told = True
            log.warning(
                "a record became a dead letter: see `delivery dead-letters list`",
                record="/".join(map(str, record.place)),
                reason=rejection.reason,
                in_this_batch=tally["rejected"],
            )

    def _keep_watch(self) -> None:
        """Says what nobody would notice: records deleted unread, and once a minute the totals."""
        self.assigned, lost = offsets.lost_to_retention(self.kafka, self.assigned)
        self.totals["lost_to_retention"] += lost
        self.recorder.lost(lost)
        if time.monotonic() > self.totals_due:
            log.info("totals", lag=sum(offsets.lags(self.kafka).values()), **self.totals)
            self.totals_due += TOTALS_EVERY
            self.rejection_told = False


def collect_garbage_rarely() -> None:
    """A batch makes thousands of short-lived tuples and no cycles: looking for cycles is waste."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
