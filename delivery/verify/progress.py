"""How far a check is."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from delivery.verify.archive import Archive
from delivery.verify.rows import NO_DELIVERY, Entry


@dataclass
class Progress:
    """How far the check is, for whoever looks: rows that were compared so far, by table."""

    doing: str = ""
    events: int = 0
    deliveries: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    offsets_in_no_log: int = 0
    offsets_before_takeover: int = 0  # read by the service before, and so in no log
    archive: Archive = field(default_factory=Archive)  # what left the log, and is not compared

    @property
    def rows(self) -> int:
        """All rows that were compared."""
        return self.events + self.deliveries + self.duplicates + self.dead_letters


def counted(entries: Iterable[Entry], progress: Progress) -> Iterator[Entry]:
    """The entries, whose events and deliveries are counted."""
    order_id = None
    for entry in entries:
        progress.events += 1
        if entry.order_id != order_id:
            order_id = entry.order_id
            progress.deliveries += entry.delivery != NO_DELIVERY
        yield entry
