"""The offsets of a member of a group, committed behind the database's commit."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata

from delivery.broker import internals
from delivery.broker.positions import Positions
from delivery.broker.start import RECREATED, metadata_of
from delivery.domain.record import Record

log = structlog.get_logger()

ANSWER_TIMEOUT_S = 3.0

_UNCOMMITTED = "offsets not committed, the records will be redelivered"


@dataclass
class Commits:
    """One commit at a time is under way: kafka-python fails what is more than five at once."""

    _consumer: KafkaConsumer
    _positions: Positions
    _answer: threading.Event | None = None  # Kafka's to the last commit

    def send(self, records: Sequence[Record]) -> None:
        """Sends off the commit of the offsets after `records`, which the database has committed.

        It does not wait for Kafka's answer (`wait` does): an offset that could not be committed
        costs a redelivery, which the inbox recognises. Partitions that may be another worker's by
        now are left out, or Kafka would put back the other's offsets.
        """
        self.wait()
        absent = internals.why_absent(self._consumer)
        ours = set() if absent else self._consumer.assignment()
        offsets: dict[TopicPartition, OffsetAndMetadata] = {}
        for record in {record.topic_partition: record for record in records}.values():
            partition = TopicPartition(*record.topic_partition)
            if partition not in ours:
                _warn_uncommitted(record, absent or "the partition went to another worker")
            elif record.topic_id != self._positions.topic_id:
                _warn_uncommitted(record, RECREATED)
            else:
                metadata = metadata_of(record.topic_id)
                after = OffsetAndMetadata(record.offset + 1, metadata, record.leader_epoch)
                offsets[partition] = after
                self._positions.claim(record)
        if offsets:
            answer = self._answer = threading.Event()
            sent = self._consumer.commit_async(offsets, callback=_warn_of_failure)
            sent.add_both(lambda _: answer.set())

    def wait(self) -> None:
        """Waits for Kafka's answer to the last commit, if it is under way, but not for ever."""
        if self._answer is not None:
            self._answer.wait(ANSWER_TIMEOUT_S)
            self._answer = None


def _warn_of_failure(offsets: Mapping[TopicPartition, OffsetAndMetadata], answer: object) -> None:
    if isinstance(answer, Exception):
        at = [f"{p.topic}/{p.partition}/{after.offset}" for p, after in offsets.items()]
        log.warning(_UNCOMMITTED, at=at, error=str(answer))


def _warn_uncommitted(record: Record, why: str) -> None:
    at = [f"{record.topic}/{record.partition}/{record.offset + 1}"]
    log.warning(_UNCOMMITTED, at=at, error=why)
