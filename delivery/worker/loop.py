"""The way of a record: poll -> decode -> decide -> one transaction -> offset commit.

A poll's records are one batch, and one batch is one transaction. Its offsets are committed after
the database commit, never before: what Kafka redelivers in between is recognised.
"""

import gc
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from delivery.domain.event import Contract
from delivery.errors import DeadLetterRefusedError, FloodError, RaceError, UnavailableError
from delivery.inbox.rejection_limit import Rejected, RejectionLimit
from delivery.inbox.transaction import Arrival, Inbox, Outbox, Outcomes, no_outbox
from delivery.log import offset_ranges_text
from delivery.monitoring.recorder import NoOpRecorder, Recorder
from delivery.postgres.database import Session
from delivery.postgres.partitions import Partitions
from delivery.worker.consumer import Consumer, End
from delivery.worker.log_check import LogCheck
from delivery.worker.prefetch import Prefetch
from delivery.worker.shutdown import StopFlag

log = structlog.get_logger()

# Between two tries to reach the database.
FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 10.0

IDLE_S = 1.0  # so long one poll takes while the database is away
TOTALS_EVERY_S = 60.0


@dataclass
class Worker:
    """One member of the group, and its connection to the database."""

    consumer: Consumer
    database: Session
    contract: Contract
    limit: RejectionLimit = field(default_factory=RejectionLimit)
    recorder: Recorder = field(default_factory=NoOpRecorder)
    outbox: Outbox = no_outbox
    totals: Outcomes = field(default_factory=Counter)
    _partitions: Partitions = field(default_factory=Partitions)
    _failures: int = 0  # of the database, since a batch was last processed
    _totals_due: float = field(default_factory=lambda: time.monotonic() + TOTALS_EVERY_S)
    _has_warned_of_rejection: bool = False  # since the totals were last logged

    def __post_init__(self) -> None:
        self._prefetch = Prefetch(self.consumer, self.contract)
        self._log_check = LogCheck(self.consumer, self.database)

    def run(self, stop: StopFlag, end: End | None = None) -> Outcomes:
        """Processes records until `stop` is requested, or `end` is reached where it is given.

        Retries transient errors of the database; any other exception propagates. Kafka then keeps
        the records that were not processed.
        """
        while not stop.requested:
            if self._log_check.is_due():
                self._check_log(stop)
            elif self._has_reached(end):
                break
            else:
                batch = self._prefetch.take()
                self.recorder.polled()
                self._report()
                if batch:
                    self._process(batch, stop)
                else:  # a standby may take over in an hour without records: what it lacks is due
                    self.database.drop_if_ended()
        self.consumer.wait()
        return self.totals

    def _has_reached(self, end: End | None) -> bool:
        return end is not None and not self._prefetch.polled and self.consumer.has_reached(end)

    def _process(self, batch: list[Arrival], stop: StopFlag) -> None:
        records = [record for record, _ in batch]
        outcomes: Outcomes = Counter()
        try:
            connection = self.database.connection()
            self._partitions.ensure(connection)
            inbox = Inbox(connection, self.limit, self._on_wait, self.outbox)
            for result in inbox.process(batch):
                outcomes += result.outcomes
                self.totals += result.outcomes
                self.recorder.result(result)
                self._warn_of_rejections(result.rejected)
        except UnavailableError as error:
            self.consumer.rewind([*records, *self._prefetch.polled])
            self._prefetch.forget()
            self.database.drop()
            self._wait_for_database(error, stop)
        except Exception as error:
            if not isinstance(error, _NAMING_THE_RECORD):
                log.critical(
                    "stopping: the rest of this batch is not written, and Kafka keeps it all",
                    at=offset_ranges_text(records),
                    records=len(records),
                    written=outcomes.total(),
                )
            raise
        else:
            self.recorder.lacked(self._log_check.lacked(records))
            self.recorder.batch(records)
            self.consumer.commit(records)
            self._failures = 0
            if log.is_enabled_for(logging.DEBUG):
                at = offset_ranges_text(records)
                log.debug("batch", at=at, records=len(records), **outcomes)

    def _check_log(self, stop: StopFlag) -> None:
        """Before anything is polled on a new session or of a new assignment."""
        try:
            self._log_check.check(self.database.connection())
        except UnavailableError as error:
            self.database.drop()
            self._wait_for_database(error, stop)

    def _on_wait(self) -> None:
        self.recorder.heartbeat()
        self._prefetch.advance()

    def _wait_for_database(self, error: UnavailableError, stop: StopFlag) -> None:
        """Waits before the next try, as a living member of the group: longer after each failure."""
        delay = min(FIRST_DELAY_S * 2**self._failures, LONGEST_DELAY_S)
        self._failures += 1
        self.recorder.retry()
        if stop.requested:
            log.warning("database unavailable, stopping", error=str(error))
            return
        log.warning("database unavailable, trying again", seconds=delay, error=str(error))
        deadline = time.monotonic() + delay
        while not stop.requested and (left := deadline - time.monotonic()) > 0:
            self.consumer.idle(min(left, IDLE_S))
            self.recorder.polled()

    def _warn_of_rejections(self, rejected: Sequence[Rejected]) -> None:
        """Names the first record that was rejected since the totals were last logged."""
        if rejected and not self._has_warned_of_rejection:
            self._has_warned_of_rejection = True
            record, rejection = rejected[0]
            log.warning(
                "a record became a dead letter: see `delivery dead-letters list`",
                record=str(record),
                reason=rejection.reason,
                in_this_batch=len(rejected),
            )

    def _report(self) -> None:
        """Counts records that were deleted unread, and once a minute logs the totals."""
        if lost := self.consumer.lost_to_retention():
            self.totals["lost_to_retention"] += lost
            self.recorder.lost(lost)
        if time.monotonic() > self._totals_due:
            log.info("totals", lag=sum(self.consumer.lags().values()), **self.totals)
            self._totals_due += TOTALS_EVERY_S
            self._has_warned_of_rejection = False


_NAMING_THE_RECORD = (FloodError, RaceError, DeadLetterRefusedError)


def collect_garbage_rarely() -> None:
    """A batch makes thousands of short-lived tuples and no cycles: looking for cycles is waste."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
