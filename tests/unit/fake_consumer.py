"""A consumer without a Kafka: one partition, read from the committed offset on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from delivery.domain.record import Partition, PartitionLog, Record


@dataclass
class FakeConsumer:
    """Polls hand out `records` in batches of `size`.

    While it is no member its commits are lost, as Kafka would refuse them; the next poll joins
    again, and reads from the committed offset on.
    """

    records: list[Record]
    size: int = 2
    position: int = 0
    committed: int = 0
    is_member: bool = True
    has_backlog: bool = True  # whether anything is polled ahead
    is_refused: bool = False  # the commit, by Kafka
    lost: int = 0  # to retention
    failure: Exception | None = None  # that polls raise
    waits: int = 0
    idled: int = 0

    def poll(self) -> list[Record]:
        if self.failure:
            raise self.failure
        if not self.is_member:
            self.is_member, self.position = True, self.committed
            return []
        polled = self.records[self.position : self.position + self.size]
        self.position += len(polled)
        return polled

    def poll_ahead(self) -> list[Record]:
        return self.poll() if self.is_member and self.has_backlog else []

    def commit(self, records: Sequence[Record]) -> None:
        if self.is_member and not self.is_refused:
            self.committed = records[-1].offset + 1

    def wait(self) -> None:
        self.waits += 1

    def rewind(self, records: Sequence[Record]) -> None:
        self.position = min([self.position, *(record.offset for record in records)])

    joins: int = 1

    def claims(self) -> Mapping[PartitionLog, int]:
        return {}

    def rewind_to(self, partition: PartitionLog, offset: int) -> None:
        self.position = offset

    def idle(self, timeout_s: float) -> None:
        self.idled += 1

    def has_reached(self, end: Mapping[Any, int]) -> bool:
        return self.position >= len(self.records)

    def lags(self) -> Mapping[Partition, int]:
        return {("orders", 0): len(self.records) - self.position}

    def lost_to_retention(self) -> int:
        lost, self.lost = self.lost, 0
        return lost
