"""A database that is behind Kafka is noticed, and what it lacks is read again.

At each new session and each assignment: the log must hold the records below the offsets that this
service has committed. Where it does not, a standby was promoted without the last rows or a backup
was restored, and nobody else would read those records again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from delivery.domain.record import PartitionLog, Record
from delivery.inbox import log_end
from delivery.postgres.database import Connection, Session
from delivery.worker.consumer import Consumer

log = structlog.get_logger()


@dataclass
class LogCheck:
    """Compares the log with the offsets that we committed, and rewinds to where the log ends."""

    consumer: Consumer
    database: Session
    _joins: int = -1  # as of the last look
    _ends: dict[PartitionLog, int] = field(default_factory=dict)  # up to which the log lacked rows
    _unwarned: set[PartitionLog] = field(default_factory=set)  # of these

    def is_due(self) -> bool:
        """Whether there is no session, or an assignment that was not looked at."""
        return not self.database.is_open or self.consumer.joins != self._joins

    def check(self, connection: Connection) -> None:
        """Moves the positions of partitions back to where their log ends. Raises UnavailableError.

        Offsets may have no record there, such as those of a transaction's markers; whoever reads
        them again finds nothing.
        """
        joins, claims = self.consumer.joins, self.consumer.claims()
        missing = log_end.missing_from(connection, claims)
        for partition, offset in missing.items():
            self.consumer.rewind_to(partition, offset)
        self._ends |= {partition: claims[partition] for partition in missing}
        self._unwarned |= missing.keys()
        self._joins = joins

    def lacked(self, records: Sequence[Record]) -> int:
        """How many records of a batch that was written the log lacked before, with a warning at a
        partition's first one. One that is read up to where it lacked rows is not looked at again.
        """
        if not self._ends:
            return 0
        lacked = 0
        reached: dict[PartitionLog, int] = {}
        for record in records:
            partition = record.topic, record.partition, record.topic_id
            reached[partition] = record.offset + 1
            if record.offset < self._ends.get(partition, 0):
                lacked += 1
                self._warn_once(partition, record.offset)
        self._ends = {p: end for p, end in self._ends.items() if reached.get(p, 0) < end}
        self._unwarned &= self._ends.keys()
        return lacked

    def _warn_once(self, partition: PartitionLog, first: int) -> None:
        if partition not in self._unwarned:
            return
        self._unwarned.remove(partition)
        log.warning(
            "the log lacks records below the committed offset: reading them again",
            partition=f"{partition[0]}/{partition[1]}",
            first_offset=first,
            last_offset=self._ends[partition] - 1,
            committed=self._ends[partition],
        )
