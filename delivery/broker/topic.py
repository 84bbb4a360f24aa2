"""Kafka, as an auditor sees it: what the group has committed, and which records are there to read.

It joins no group and commits nothing, so that a worker beside it does not notice.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from uuid import UUID

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata

from delivery.broker import internals, options
from delivery.broker.connections import ClientFactory, Connections
from delivery.broker.group import describe
from delivery.broker.positions import committed
from delivery.broker.refusals import Rights
from delivery.broker.start import metadata_of
from delivery.domain.record import Partition, may_be_same_topic
from delivery.errors import GroupActiveError, UnavailableError
from delivery.settings import KafkaSettings

REQUEST_TIMEOUT_MS = 10_000
POLL_TIMEOUT_MS = 1000
SILENCE_S = 30.0  # without a step forward; then the broker does not answer any more

RIGHTS = Rights(topic="READ", group="DESCRIBE")
COMMIT_RIGHTS = Rights(topic="READ", group="READ")

# Offsets ahead. What is nearer is read through: a seek discards what was fetched already.
SEEK_FROM = 10_000


@dataclass
class Topic:
    """The topic, read partition by partition, forwards."""

    settings: KafkaSettings
    consumer: KafkaConsumer
    connections: Connections
    deleted: int = 0  # offsets that were asked for and lie before the beginning of the topic
    _partition: TopicPartition | None = None
    _beginning: int = 0
    _ahead: deque[int] = field(default_factory=deque)  # polled, and not asked for yet

    def committed(self) -> dict[tuple[str, int], int]:
        """The group's committed offset of each partition that has one, but not beyond its end.

        Raises UnavailableError, or ForbiddenError where a right is missing.
        """
        with options.errors_translated(self.settings, RIGHTS):
            partitions = self.partitions()
            found = {p: committed(self.consumer, p, REQUEST_TIMEOUT_MS) for p in partitions}
            ends = self.consumer.end_offsets(partitions, timeout_ms=REQUEST_TIMEOUT_MS)
        return {
            tuple(p): min(at.offset, ends[p])
            for p, at in found.items()
            if at is not None and may_be_same_topic(at.topic_id, self.topic_id)
        }

    def require_no_members(self) -> None:
        """Raises GroupActiveError while the group has members: they would put its offsets back.

        Also UnavailableError, or ForbiddenError where a right is missing.
        """
        if members := self.members():
            raise GroupActiveError(
                f"group {self.settings.kafka_group_id} has {members} active members: stop the "
                "workers first"
            )

    def members(self) -> int:
        """How many members the group has. Raises UnavailableError, or ForbiddenError."""
        with options.errors_translated(self.settings, RIGHTS):
            admin = options.connect(KafkaAdminClient, self.settings)
            try:
                return len(describe(admin, self.settings.kafka_group_id).members)
            finally:
                admin.close()

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commits these offsets for the group, as one of its members would.

        Raises GroupActiveError, UnavailableError, or ForbiddenError where a right is missing.
        """
        metadata = metadata_of(self.topic_id)
        after = {TopicPartition(*p): OffsetAndMetadata(o, metadata, -1) for p, o in offsets.items()}
        self.require_no_members()
        with options.errors_translated(self.settings, COMMIT_RIGHTS):
            self.consumer.commit(after, timeout_ms=REQUEST_TIMEOUT_MS)

    @property
    def topic_id(self) -> UUID:
        """The id that the topic of that name has now, as of the last metadata."""
        return internals.topic_state(self.consumer, self.settings.kafka_topic).topic_id

    def partitions(self) -> list[TopicPartition]:
        """The topic's partitions. Raises kafka-python's errors."""
        name = self.settings.kafka_topic
        numbers = self.connections.partitions_of(name, REQUEST_TIMEOUT_MS)
        return [TopicPartition(name, number) for number in sorted(numbers)]

    def records(self, topic: str, partition: int, start: int, end: int) -> Iterator[int]:
        """The offsets from `start` to the one before `end` where a record is there to read.

        Markers of transactions, records of aborted ones and what was compacted are not. Offsets
        that retention has deleted are added to `deleted`. Raises UnavailableError, or
        ForbiddenError where a right is missing.
        """
        with options.errors_translated(self.settings, RIGHTS):
            self._go_to(TopicPartition(topic, partition), start)
            self.deleted += max(0, min(end, self._beginning) - start)
            while self._reaches(end):
                offset = self._ahead.popleft()
                if offset >= start:
                    yield offset

    def _go_to(self, partition: TopicPartition, start: int) -> None:
        if partition != self._partition:
            self.consumer.assign([partition])
            beginnings = self.consumer.beginning_offsets([partition], timeout_ms=REQUEST_TIMEOUT_MS)
            self._partition, self._beginning = partition, beginnings[partition]
        elif start - self._position() < SEEK_FROM:
            return
        self._ahead.clear()
        self.consumer.seek(partition, max(start, self._beginning))

    def _reaches(self, end: int) -> bool:
        """Whether there is a record before `end`, after it was polled where need be."""
        deadline = monotonic() + SILENCE_S
        while not self._ahead and (before := self._position()) < end:
            for records in self.consumer.poll(POLL_TIMEOUT_MS).values():
                self._ahead.extend(record.offset for record in records)
            if not self._ahead and self._position() == before and monotonic() > deadline:
                raise UnavailableError(
                    f"Kafka gives no record of {self._partition} from offset {before} on"
                )
        return bool(self._ahead) and self._ahead[0] < end

    def _position(self) -> int:
        return self.consumer.position(self._partition, timeout_ms=REQUEST_TIMEOUT_MS) or 0


@contextmanager
def opened(settings: KafkaSettings) -> Iterator[Topic]:
    """The topic. Raises SettingsError or UnavailableError where Kafka can't be reached."""
    factory = ClientFactory(settings)
    consumer = options.connect(
        KafkaConsumer,
        settings,
        factory,
        group_id=settings.kafka_group_id,  # to ask for its offsets; only subscribing joins it
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        allow_auto_create_topics=False,
        max_poll_records=2000,
        metrics_enabled=False,
    )
    try:
        yield Topic(settings, consumer, factory.connections)
    finally:
        consumer.close(autocommit=False)
