"""Proves a database against the guarantee, and against the topic where Kafka is at hand."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from delivery.domain.event import Contract
from delivery.postgres.database import Connection
from delivery.postgres.sqlstate import translated_errors
from delivery.verify import payload, places, streams
from delivery.verify.finding import Finding
from delivery.verify.fold import Delivery, Entry, against_log
from delivery.verify.places import Gap, Partition

__all__ = ["Finding", "Progress", "Records", "findings"]

# The offsets of a partition, from one to the one before another, where a record is there to read.
Records = Callable[[str, int, int, int], Iterable[int]]


@dataclass
class Progress:
    """How far the check is, for whoever looks: rows that were compared so far, by table."""

    doing: str = ""
    events: int = 0
    deliveries: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    offsets_in_no_log: int = 0

    @property
    def rows(self) -> int:
        """All rows that were compared."""
        return self.events + self.deliveries + self.duplicates + self.dead_letters


def findings(
    connection: Connection,
    contract: Contract,
    committed: Mapping[Partition, int],
    records: Records,
    progress: Progress,
) -> Iterator[Finding]:
    """Every contradiction, one after the other; none means that the guarantee was kept.

    Runs in the caller's transaction, which has to see one moment: see `database.snapshot`. The
    `committed` offsets must have been read before it began: then a worker that runs meanwhile
    makes no finding. Where a gap lies below them, `records` is asked. Memory is bounded.
    Raises UnavailableError.
    """
    with translated_errors():
        streams.prepare(connection)
        progress.doing = "comparing the log with the deliveries"
        log = _events_counted(streams.log(connection), progress)
        deliveries = _deliveries_counted(streams.deliveries(connection), progress)
        yield from against_log(contract, log, deliveries)
        progress.doing = "comparing the duplicates with the log"
        progress.duplicates, progress.dead_letters = streams.small_logs(connection)
        for row in streams.duplicates(connection):
            if (finding := payload.duplicate(contract, row)) is not None:
                yield finding
        progress.doing = "sorting the coordinates of all records"
        for found in places.account(streams.occupied(connection), committed):
            if isinstance(found, Gap):
                yield from _in_gap(found, records, progress)
            else:
                yield found


def _in_gap(gap: Gap, records: Records, progress: Progress) -> Iterator[Finding]:
    progress.doing = "looking into the topic"
    progress.offsets_in_no_log += gap.end - gap.start
    for offset in records(*gap):
        yield places.unaccounted(gap.topic, gap.partition, offset)


def _events_counted(log: Iterable[Entry], progress: Progress) -> Iterator[Entry]:
    for entry in log:
        progress.events += 1
        yield entry


def _deliveries_counted(deliveries: Iterable[Delivery], progress: Progress) -> Iterator[Delivery]:
    for delivery in deliveries:
        progress.deliveries += 1
        yield delivery
