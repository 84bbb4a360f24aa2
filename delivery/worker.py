"""The way of a record: poll -> decode -> decide -> one transaction -> offset commit.

A poll's records are one batch, and one batch is one transaction. Its offsets are committed after
the database commit, never before: what Kafka redelivers in between is recognised by its place.
"""

import gc
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import structlog

from delivery import inbox, partitions
from delivery.broker import consumer
from delivery.database import Session
from delivery.errors import UnavailableError
from delivery.event import Contract
from delivery.flood import Flood
from delivery.inbox import Tally
from delivery.signals import Stop

log = structlog.get_logger()

LONGEST_DELAY = 10.0  # seconds between two tries to reach the database


def run(
    kafka: consumer.Consumer,
    database: Session,
    contract: Contract,
    stop: Stop,
    end: consumer.End | None = None,
    flood: Flood | None = None,
) -> Tally:
    """Processes records until `stop` is requested, or until `end` is reached where it is given.

    Returns how many records had which outcome. Raises what is not the moment's error: nothing of
    the batch in hand is written then, and Kafka keeps its records.
    """
    totals: Tally = Counter()
    delays = _delays()
    partitions_due = datetime.now(UTC)
    assigned = consumer.NOTHING_ASSIGNED
    while not stop.requested:
        if end is not None and consumer.reached(kafka, end):
            break
        batch = consumer.poll(kafka)
        assigned, lost = consumer.lost_to_retention(kafka, assigned)
        totals["lost_to_retention"] += lost
        if not batch:
            continue
        try:
            connection = database.connection()
            partitions_due = partitions.ensure(connection, partitions_due)
            tally = inbox.process(connection, contract, batch, flood)
        except UnavailableError as error:
            consumer.rewind(kafka, batch)
            database.drop()
            _wait(kafka, next(delays), stop, error)
            continue
        consumer.commit(kafka, batch)
        totals += tally
        delays = _delays()
        log.debug("batch", records=len(batch), **tally)
    return totals


def collect_garbage_rarely() -> None:
    """A batch makes thousands of short-lived tuples and no cycles: looking for cycles is waste.

    Measured: 11 to 26 % more records a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)


def _wait(kafka: consumer.Consumer, delay: float, stop: Stop, error: UnavailableError) -> None:
    """Sits out `delay` seconds of an outage as a living member of the group."""
    log.warning("database unavailable, trying again", seconds=delay, error=str(error))
    deadline = time.monotonic() + delay
    while not stop.requested and (left := deadline - time.monotonic()) > 0:
        consumer.idle(kafka, min(left, consumer.POLL_TIMEOUT))


def _delays() -> Iterator[float]:
    delay = 0.1
    while True:
        yield delay
        delay = min(delay * 2, LONGEST_DELAY)
