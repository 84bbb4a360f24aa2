"""Where a member reads in each of its partitions. No position moves in silence.

After each join the positions are those that are committed: kafka-python 3.0.12 keeps its own,
although others may have had the partitions in between. Where Kafka can't go on at a position,
`start` says where reading begins and why, and one line tells it.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from delivery.broker import internals
from delivery.broker.start import DELETED, RECREATED, Committed, Start, start, topic_id_in
from delivery.domain.record import UNKNOWN_TOPIC_ID, PartitionLog, Record, may_be_same_topic

log = structlog.get_logger()

REQUEST_TIMEOUT_MS = 3000


def committed(
    consumer: KafkaConsumer, partition: TopicPartition, timeout_ms: int = REQUEST_TIMEOUT_MS
) -> Committed | None:
    """What the group has committed, of whichever topic of that name. Raises KafkaError."""
    found = consumer.committed(partition, metadata=True, timeout_ms=timeout_ms)
    if found is None:
        return None
    return Committed(found.offset, topic_id_in(found.metadata), found.leader_epoch)


@dataclass
class Positions:
    """The positions of one member. They belong to the topic of one id, and not to its name."""

    _consumer: KafkaConsumer
    due: threading.Event = field(default_factory=threading.Event)  # to be set anew, all of them
    have_begun: bool = False  # with at least one partition
    topic_id: UUID = UNKNOWN_TOPIC_ID
    lost: int = 0  # records that were deleted unread
    joins: int = 0  # how often positions were set after one
    claimed: dict[PartitionLog, int] = field(default_factory=dict)  # by us, as of the last join
    _warned_of: UUID = UNKNOWN_TOPIC_ID  # that it is another topic than the one before
    _counted: dict[TopicPartition, int] = field(default_factory=dict)  # as lost, up to here

    def belong_to(self, topic_id: UUID) -> None:
        """From now on reads the topic of this id; each position of another one is dropped."""
        if topic_id in {UNKNOWN_TOPIC_ID, self.topic_id}:
            return
        if self.topic_id != UNKNOWN_TOPIC_ID:
            self._warn_of_topic(topic_id)
            self.due.set()
        self.topic_id = topic_id

    def begin(self) -> None:
        """Sets the position of each partition that we have, or leaves it to the next poll."""
        self.due.clear()
        try:
            partitions = self._consumer.assignment()
            found = {p: committed(self._consumer, p) for p in partitions}
            self._go_to(found)
            self.claimed = {
                (p.topic, p.partition, self.topic_id): position.offset
                for p, position in found.items()
                if position is not None and position.topic_id == self.topic_id != UNKNOWN_TOPIC_ID
            }
        except KafkaError as error:
            self.due.set()
            log.warning("kafka does not tell where to begin, asking again", error=str(error))
        else:
            self.joins += 1
            self.have_begun = self.have_begun or bool(partitions)

    def claim(self, record: Record) -> None:
        """Notes that the log holds all records up to this one: its offset is being committed."""
        if record.topic_id != UNKNOWN_TOPIC_ID:
            self.claimed[record.topic, record.partition, record.topic_id] = record.offset + 1

    def go_on_within(self, positions: Mapping[TopicPartition, int]) -> None:
        """Goes on after a fetch before the beginning or beyond the end of partitions."""
        self._go_on({p: Committed(offset, self.topic_id) for p, offset in positions.items()})

    def go_on_before(self, truncated: Mapping[TopicPartition, OffsetAndMetadata | None]) -> None:
        """Goes on after an unclean leader election, after which other records lie in partitions
        from these offsets on; None where the leader does not know.
        """
        if self.due.is_set():
            return
        diverging = {p: 0 if end is None else end.offset for p, end in truncated.items()}
        for partition, offset in diverging.items():
            log.warning(
                "an unclean leader election replaced records: reading on from there",
                partition=f"{partition.topic}/{partition.partition}",
                offset=offset,
            )
        self.go_on_within(diverging)

    def committed_offset(self, partition: TopicPartition) -> int:
        """The group's committed offset in this very topic, or 0. Raises KafkaError."""
        found = committed(self._consumer, partition)
        if found is None or not may_be_same_topic(found.topic_id, self.topic_id):
            return 0
        return found.offset

    def _go_on(self, positions: Mapping[TopicPartition, Committed]) -> None:
        try:
            self._go_to(positions)
        except KafkaError as error:
            self.due.set()
            log.warning("kafka does not tell where to go on, asking again", error=str(error))

    def _go_to(self, positions: Mapping[TopicPartition, Committed | None]) -> None:
        """Goes to these positions, as far as the partitions' logs allow. Raises KafkaError."""
        if not positions:
            return
        partitions = list(positions)
        beginnings = self._consumer.beginning_offsets(partitions, timeout_ms=REQUEST_TIMEOUT_MS)
        ends = self._consumer.end_offsets(partitions, timeout_ms=REQUEST_TIMEOUT_MS)
        for partition, position in positions.items():
            begin = start(position, self.topic_id, beginnings[partition], ends[partition])
            internals.seek(self._consumer, partition, begin.offset, begin.epoch)
            if position is not None and begin.why is not None:
                self._warn(partition, position.offset, begin)

    def _warn(self, partition: TopicPartition, position: int, begin: Start) -> None:
        """Says once why reading does not begin at the position, and counts what that lost."""
        where = f"{partition.topic}/{partition.partition}"
        if begin.why == RECREATED:
            self._warn_of_topic(self.topic_id)
        elif begin.why == DELETED:
            first = max(position, self._counted.get(partition, 0))
            self._counted[partition] = begin.offset
            if first < begin.offset:
                self.lost += begin.offset - first
                log.warning(
                    DELETED,
                    records=begin.offset - first,
                    partition=where,
                    first_offset=first,
                    last_offset=begin.offset - 1,
                )
        else:
            log.warning(str(begin.why), partition=where, position=position)

    def _warn_of_topic(self, topic_id: UUID) -> None:
        if self._warned_of != topic_id:
            self._warned_of = topic_id
            log.warning(RECREATED, topic_id=str(topic_id))
