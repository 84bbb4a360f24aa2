"""A flood is not a dead letter: a producer that changed its format stops the worker.

One broken record must not stand in the way of its neighbours. A thousand in a row are no broken
records but a broken agreement, and thousands of dead letters would be somebody's week. Nothing of
the transaction that reaches the limit is written: Kafka keeps its records for a worker that reads
them. A transaction is a whole batch, or a portion of one where the database refuses rows.

A streak is counted as the records arrive, and in each partition by itself: a producer that writes
to one partition only would otherwise hide behind its healthy neighbours.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from delivery.domain.event import Rejection
from delivery.domain.record import Partition, Record
from delivery.errors import FloodError

Rejected = tuple[Record, Rejection]
Streaks = Mapping[Partition | None, int]  # by partition, and under None of all partitions


@dataclass
class RejectionLimit:
    """How many records in a row were rejected lately. A `limit` of 0 lets any number pass."""

    limit: int = 0
    streaks: Streaks = field(default_factory=dict)

    def checked(self, batch: Sequence[Record], rejected: Sequence[Rejected]) -> Streaks:
        """The streaks after `batch`. Raises FloodError where one reaches the limit within it."""
        if not rejected and not self.streaks:
            return self.streaks
        coordinates = {record.coordinates for record, _ in rejected}
        streaks = dict(self.streaks)
        for record in batch:
            is_rejected = record.coordinates in coordinates
            for partition in (None, record.topic_partition):
                streaks[partition] = streaks.get(partition, 0) + 1 if is_rejected else 0
                if 0 < self.limit == streaks[partition]:
                    raise FloodError(_message(self.limit, partition, record, rejected))
        return {partition: length for partition, length in streaks.items() if length}


def _message(
    length: int, partition: Partition | None, last: Record, rejected: Sequence[Rejected]
) -> str:
    where = "" if partition is None else f" of partition {'/'.join(map(str, partition))}"
    kinds = Counter(f"{why.reason}: {' '.join(why.error.split())}" for _, why in rejected)
    ((kind, count),) = kinds.most_common(1)
    return (
        f"{length} records in a row{where} were rejected, the last at {last}; "
        f"{count} of {len(rejected)} in this batch for {kind}. Kafka keeps them. Mend the cause, "
        "such as a producer's new format or a constraint of the database; or raise "
        "DELIVERY_MAX_REJECTED_IN_A_ROW (0: no limit) to have them as dead letters"
    )
