"""Where the partitions end, and how far a member of the group, and its group, are from there."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from delivery.broker import internals
from delivery.broker.positions import REQUEST_TIMEOUT_MS, Positions
from delivery.domain.record import Partition
from delivery.errors import UnavailableError

REFRESHED_EVERY_S = 1.0

Offsets = Mapping[TopicPartition, int]  # of each partition the offset after its last record


@dataclass
class Ends:
    """The ends of a topic's partitions. Any thread may call `lags`."""

    _consumer: KafkaConsumer
    _positions: Positions
    _paused: Offsets = field(default_factory=dict)  # of our partitions, as of the last pause
    _refreshed_at: float = 0.0

    def of_topic(self, topic: str) -> Offsets:
        """The end of each partition of the topic, whoever reads it. Raises UnavailableError."""
        numbers = self._consumer.partitions_for_topic(topic)
        try:
            return self._ask([TopicPartition(topic, number) for number in numbers])
        except KafkaError as error:
            raise UnavailableError(
                f"Kafka does not tell the end of topic {topic}: {error}"
            ) from error

    def are_read(self, ends: Offsets) -> bool:
        """Whether the group has read every partition up to `ends`: we ours, the others theirs."""
        if self._positions.due.is_set() or not self._positions.joins:
            return False  # the log was not looked at yet
        ours = ends.keys() & self._consumer.assignment()
        try:  # ours first: that asks nobody
            return all(self._position(p) >= ends[p] for p in ours) and all(
                self._positions.committed_offset(p) >= ends[p]
                for p in ends.keys() - ours
                if ends[p]
            )
        except KafkaError:
            return False

    def lags(self) -> dict[Partition, int]:
        """How many offsets each of our partitions has that are not polled yet, as of its last
        fetch, without a request. A partition that was not fetched from yet is left out.
        """
        lags = internals.lags(self._consumer, self._paused)
        return {(p.topic, p.partition): lag for p, lag in lags.items()}

    def refresh(self) -> None:
        """Asks for the ends of paused partitions, of which nothing is fetched: without this their
        lag would stand still.
        """
        partitions = list(self._consumer.assignment())
        if partitions and time.monotonic() - self._refreshed_at > REFRESHED_EVERY_S:
            self._refreshed_at = time.monotonic()
            with suppress(KafkaError):  # then the lag stays as it was
                self._paused = self._ask(partitions)

    def forget(self) -> None:
        """Drops the ends of paused partitions: after a join they may be of others."""
        self._paused = {}

    def _ask(self, partitions: list[TopicPartition]) -> Offsets:
        ends: Offsets = self._consumer.end_offsets(partitions, timeout_ms=REQUEST_TIMEOUT_MS)
        return ends

    def _position(self, partition: TopicPartition) -> int:
        return self._consumer.position(partition, timeout_ms=REQUEST_TIMEOUT_MS) or 0
