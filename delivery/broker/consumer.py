"""Kafka, as a consumer sees it: join, poll, commit, rewind.

Never a deserializer: a record that makes one raise would block its partition for ever. Records are
handed on as bytes and decoded by our own code.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeAlias

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import (
    FencedInstanceIdError,
    KafkaError,
    RetriableError,
)
from kafka.future import Future
from kafka.structs import OffsetAndMetadata

from delivery.broker import membership, options
from delivery.domain.record import Record, record_time, spans
from delivery.errors import FencedError, UnavailableError
from delivery.settings import KafkaSettings

log = structlog.get_logger()

POLL_TIMEOUT = 1.0  # seconds; poll() waits all of it even when SIGTERM came

# Milliseconds.
COMMIT_TIMEOUT = 3000
CLOSE_TIMEOUT = 2000
METADATA_MAX_AGE = 30_000  # after this long a new topic or partition is noticed
RETRY_BACKOFF = 20  # kafka-python also sleeps so long where a poll finds nothing under way

# In one fetch, of one partition or of all together: several batches. With Kafka's 1 MB for each
# partition every second batch is a rest; with its 50 MB for all, memory grows with the partitions.
FETCHED_BYTES = 4 * 1024 * 1024

Consumer: TypeAlias = KafkaConsumer
Commit: TypeAlias = Future


@contextmanager
def connected(settings: KafkaSettings, batch_size: int) -> Iterator[Consumer]:
    """A consumer of the group, which `join` makes a member; at the end it leaves the group.

    Raises SettingsError or UnavailableError where Kafka can't be joined.
    """
    with options.errors_translated(settings):
        consumer = KafkaConsumer(
            **options.connection(settings),
            group_id=settings.kafka_group_id,
            session_timeout_ms=_milliseconds(settings.kafka_session_timeout),
            heartbeat_interval_ms=_milliseconds(settings.kafka_session_timeout / 10),
            auto_offset_reset="earliest",  # a group without offsets has read nothing yet
            enable_auto_commit=False,  # offsets follow the database's commit, never lead
            isolation_level="read_committed",
            metadata_max_age_ms=METADATA_MAX_AGE,
            max_poll_records=batch_size,
            max_partition_fetch_bytes=FETCHED_BYTES,
            fetch_max_bytes=FETCHED_BYTES,
            retry_backoff_ms=RETRY_BACKOFF,
            metrics_enabled=False,
        )
    try:
        yield consumer
    finally:
        consumer.close(timeout_ms=CLOSE_TIMEOUT)


def join(consumer: Consumer, topic: str) -> bool:
    """Subscribes to the topic, if there is one: kafka-python would have the broker make it.

    The topics are asked for once more behind the subscription: a leader compares its partitions
    with those that it knew when it joined, and would join anew over the first answer. Raises
    UnavailableError.
    """
    try:
        there = topic in consumer.topics()
        if there:
            consumer.subscribe([topic], listener=membership.FreshPositions(consumer))
            consumer.topics()
    except KafkaError as error:
        raise UnavailableError(f"Kafka does not tell its topics: {error}") from error
    return there


def poll(consumer: Consumer, timeout: float = POLL_TIMEOUT) -> list[Record]:
    """The next records, ordered by partition and offset; none after `timeout` seconds without any.

    The order is that of the log within one transaction: see `rows.moment`.
    """
    membership.finish_joining(consumer)
    try:
        polled = consumer.poll(round(timeout * 1000))
    except FencedInstanceIdError as error:
        raise FencedError("another consumer uses this one's group instance id") from error
    except RetriableError as error:  # the broker is away; it comes back by itself
        log.warning("kafka is unavailable, polling on", error=str(error))
        return []
    return [
        Record(r.topic, r.partition, r.offset, record_time(r.timestamp), r.key, r.value, r.headers)
        for partition in sorted(polled)
        for r in polled[partition]
    ]


def is_full(consumer: Consumer, batch: Sequence[Record]) -> bool:
    """Whether `batch` is as large as a poll's can be, so that more records are likely there."""
    return len(batch) >= int(consumer.config["max_poll_records"])


def commit(consumer: Consumer, batch: Sequence[Record]) -> Commit | None:
    """Sends off the commit of the offsets after `batch`, whose database transaction is committed.

    It does not wait for Kafka's answer: an offset that could not be committed costs a redelivery,
    which the inbox recognises. Partitions that may be another worker's by now are left out, and
    None is returned where no other is left: Kafka would take the offset, and put back the other's.
    """
    absent = membership.why_absent(consumer)
    ours = set() if absent else consumer.assignment()
    after = {TopicPartition(*partition): last + 1 for partition, (_, last) in spans(batch).items()}
    if left_out := after.keys() - ours:
        why = absent or "the partition went to another worker"
        _say_uncommitted({p: after[p] for p in left_out}, why)
    offsets = {p: OffsetAndMetadata(after[p], "", -1) for p in after.keys() & ours}
    return consumer.commit_async(offsets, callback=_say_a_failure) if offsets else None


def wait_for(commit: Commit | None) -> None:
    """Waits for Kafka's answer to `commit`, if there is one under way, but not for ever."""
    deadline = time.monotonic() + COMMIT_TIMEOUT / 1000
    while commit is not None and not commit.is_done and time.monotonic() < deadline:
        time.sleep(0.001)  # kafka-python's own thread takes the answer


def _say_a_failure(offsets: Mapping[TopicPartition, OffsetAndMetadata], answer: object) -> None:
    if isinstance(answer, Exception):
        _say_uncommitted({p: after.offset for p, after in offsets.items()}, str(answer))


def _say_uncommitted(offsets: Mapping[TopicPartition, int], why: str) -> None:
    log.warning(
        "offsets not committed, the records will be redelivered",
        at=[f"{p.topic}/{p.partition}/{offset}" for p, offset in offsets.items()],
        error=why,
    )


def rewind(consumer: Consumer, batch: Sequence[Record]) -> None:
    """Makes the next poll begin with `batch` again, where its partitions are still ours."""
    assigned = consumer.assignment()
    for partition, (first, _) in spans(batch).items():
        if partition in assigned:
            consumer.seek(TopicPartition(*partition), first)


def idle(consumer: Consumer, timeout: float) -> None:
    """Polls for up to `timeout` seconds and takes nothing, so that the group keeps us."""
    consumer.pause(*consumer.assignment())
    rewind(consumer, poll(consumer, timeout))  # a rebalance may bring partitions not yet paused
    consumer.resume(*consumer.assignment())


def _milliseconds(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1000)
