"""Kafka, as a transactional producer sees it: all records of a transaction are there, or none.

A reader of committed records sees them after the commit alone. The transactional id is fixed, so
that whoever begins with it fences whoever had it before: the other one's transaction is aborted if
it was not being committed, and can't be committed any more.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from kafka import KafkaProducer, TopicPartition
from kafka.errors import (
    InvalidProducerEpochError,
    KafkaError,
    KafkaTimeoutError,
    ProducerFencedError,
    TransactionalIdAuthorizationFailedError,
)
from kafka.partitioner.default import murmur2
from kafka.producer.producer_batch import ProducerBatch

from delivery.broker import internals, options, record_batch
from delivery.broker.connections import ClientFactory
from delivery.broker.producer import LARGEST_REQUEST_BYTES
from delivery.broker.record_batch import Headers, KeyValue
from delivery.broker.refusals import Rights
from delivery.errors import FencedError, ForbiddenError
from delivery.settings import KafkaSettings

RIGHTS = Rights(topic="WRITE")

REQUEST_TIMEOUT_MS = 5000
DELIVERY_TIMEOUT_MS = 10_000  # what is not acknowledged by then has failed
COMMIT_TIMEOUT_MS = 10_000
START_TIMEOUT_MS = 10_000  # for the fate of the last transaction to be known
CLOSE_TIMEOUT_S = 2.0
METADATA_MAX_AGE_MS = 30_000  # after this long a new partition is noticed

# Kafka aborts a transaction that nobody ends so late, and holds back readers of committed records
# until then. It is reached only where no other announcer takes over.
TRANSACTION_TIMEOUT_MS = 30_000

# Of a partition in one batch. A topic takes 1 MB by default, of what is compressed to an eighth.
BATCH_BYTES = 512 * 1024

LZ4 = 3


class PartitionOffset(NamedTuple):
    """Where a record lies in its topic."""

    partition: int
    offset: int


@dataclass(frozen=True)
class Transactions:
    """Publishes to one topic, a transaction at a time, under one transactional id."""

    settings: KafkaSettings
    producer: KafkaProducer
    topic: str
    transactional_id: str

    def publish(self, records: Sequence[KeyValue], headers: Headers) -> list[PartitionOffset]:
        """Publishes the records in one transaction, and returns where each of them lies.

        The records of one key keep their order and lie in one partition, that of Java's default
        partitioner. Raises FencedError, UnavailableError or ForbiddenError: then the transaction
        is committed or not, and `started` anew tells which.
        """
        with self.errors_translated():
            self.begin()
            offsets = self.send(records, headers)
            self.commit()
        return offsets

    def begin(self) -> None:
        """Begins a transaction."""
        self.producer.begin_transaction()

    def send(self, records: Sequence[KeyValue], headers: Headers) -> list[PartitionOffset]:
        """Sends the records, and waits until Kafka has acknowledged each."""
        offsets = [PartitionOffset(-1, -1)] * len(records)
        sent: list[tuple[ProducerBatch, list[int]]] = []
        for partition, numbers in self._by_partition(records).items():
            rest = iter(numbers)
            chosen = [records[number] for number in numbers]
            for portion in record_batch.portions(chosen, BATCH_BYTES):
                batch = self._send_batch(partition, portion, headers)
                sent.append((batch, [next(rest) for _ in portion]))
        self.producer.flush(DELIVERY_TIMEOUT_MS / 1000)
        for batch, numbers in sent:
            first = _first_offset(batch)
            for behind, number in enumerate(numbers):
                offsets[number] = PartitionOffset(batch.topic_partition.partition, first + behind)
        return offsets

    def commit(self) -> None:
        """Commits the transaction. A timeout tells nothing: it may be committed all the same."""
        if not internals.begin_commit(self.producer).wait(COMMIT_TIMEOUT_MS):
            raise KafkaTimeoutError("the commit is not acknowledged")

    def _by_partition(self, records: Sequence[KeyValue]) -> dict[int, list[int]]:
        """For each partition which of the records are its own."""
        partitions = len(self.producer.partitions_for(self.topic))
        chosen: dict[int, list[int]] = {}
        for number, (key, _) in enumerate(records):
            partition = (murmur2(key) & 0x7FFFFFFF) % partitions
            chosen.setdefault(partition, []).append(number)
        return chosen

    def _send_batch(
        self, partition: int, records: Sequence[KeyValue], headers: Headers
    ) -> ProducerBatch:
        built = record_batch.build(records, headers, round(time.time() * 1000), LZ4)
        batch = ProducerBatch(TopicPartition(self.topic, partition), built)
        internals.send_batch(self.producer, batch)
        return batch

    @contextmanager
    def errors_translated(self) -> Iterator[None]:
        """Raises FencedError or our other errors for kafka-python's."""
        with options.errors_translated(self.settings, RIGHTS):
            try:
                yield
            except TransactionalIdAuthorizationFailedError as error:
                raise ForbiddenError(
                    f"Kafka's user needs WRITE on transactional id {self.transactional_id}"
                ) from error
            except KafkaError as error:
                if _is_fenced(error):
                    raise FencedError(
                        f"another announcer uses the transactional id {self.transactional_id}"
                    ) from error
                raise


@contextmanager
def started(settings: KafkaSettings, topic: str, transactional_id: str) -> Iterator[Transactions]:
    """A producer that has fenced the one before it, whose last transaction has come to its end.

    Raises SettingsError, ForbiddenError or UnavailableError.
    """
    factory = ClientFactory(settings)
    producer = options.connect(
        KafkaProducer,
        settings,
        factory,
        transactional_id=transactional_id,
        transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
        acks="all",
        compression_type="lz4",
        max_request_size=LARGEST_REQUEST_BYTES,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        delivery_timeout_ms=DELIVERY_TIMEOUT_MS,
        max_block_ms=START_TIMEOUT_MS,
        metadata_max_age_ms=METADATA_MAX_AGE_MS,
        allow_auto_create_topics=False,
        metrics_enabled=False,
    )
    made = Transactions(settings, producer, topic, transactional_id)
    try:
        internals.require_producer(producer)
        with made.errors_translated():
            producer.init_transactions()
        yield made
    finally:
        _close(producer)


def _close(producer: KafkaProducer) -> None:
    with suppress(KafkaError):
        producer.close(timeout=CLOSE_TIMEOUT_S)
    internals.abandon(producer)


def _first_offset(batch: ProducerBatch) -> int:
    """The offset of the batch's first record. Raises what made it fail."""
    done = batch.produce_future
    if not done.is_done:
        raise KafkaTimeoutError("records are not acknowledged")
    first, _, error_of = done.value
    if error_of is not None:
        raise error_of(0)
    if first < 0:
        raise KafkaError("Kafka named no offset of the records")
    return int(first)


def _is_fenced(error: Any) -> bool:
    """Whether another producer has the id. kafka-python tells later ones of it by a text alone."""
    return isinstance(error, ProducerFencedError | InvalidProducerEpochError) or (
        "ProducerFenced" in str(error) or "InvalidProducerEpoch" in str(error)
    )
