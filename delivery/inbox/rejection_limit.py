"""A flood is not a dead letter: a producer that changed its format stops the worker.

One broken record must not stand in the way of its neighbours. A thousand in a row are no broken
records but a broken agreement, and thousands of dead letters would be somebody's week. Nothing of
the transaction that completes the row is written: Kafka keeps its records for a worker that reads
them. A transaction is a whole batch, or few records of one where the database refuses rows.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from delivery.domain.event import Rejection
from delivery.domain.record import Record
from delivery.errors import FloodError

Rejected = tuple[Record, Rejection]


@dataclass
class Flood:
    """How many records in a row were rejected lately. A `limit` of 0 lets any number pass.

    `rejected` are those of the last batch that had any.
    """

    limit: int = 0
    row: int = 0
    rejected: Sequence[Rejected] = field(default_factory=list)

    def checked(self, batch: Iterable[Record], rejected: Sequence[Rejected]) -> int:
        """The row's length after `batch`. Raises FloodError where it reaches the limit within."""
        if not rejected:
            return 0
        self.rejected = rejected
        places = {record.place for record, _ in rejected}
        row = self.row
        for record in batch:
            row = row + 1 if record.place in places else 0
            if 0 < self.limit == row:
                raise FloodError(_message(row, record, rejected))
        return row


def _message(row: int, last: Record, rejected: Sequence[Rejected]) -> str:
    kinds = Counter(f"{no.reason}: {' '.join(no.error.split())}" for _, no in rejected)
    ((kind, count),) = kinds.most_common(1)
    return (
        f"{row} records in a row were rejected, the last at {'/'.join(map(str, last.place))}; "
        f"{count} of {len(rejected)} in this batch for {kind}. Kafka keeps them. Mend the cause, "
        "such as a producer's new format or a constraint of the database; or raise "
        "DELIVERY_MAX_REJECTED_IN_A_ROW (0: no limit) to have them as dead letters"
    )
