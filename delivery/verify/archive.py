"""The months that left the log: what verify can't see, and must not take for missing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from delivery.domain.month import Month
from delivery.postgres.database import Connection

_MONTHS = "SELECT month, sum(rows)::bigint FROM archived_months GROUP BY month ORDER BY month"


@dataclass(frozen=True)
class Archive:
    """How many events left the log, by their month."""

    events: Mapping[Month, int] = field(default_factory=dict)

    def holds(self, time: datetime) -> bool:
        """Whether an event of that time may have left the log."""
        return Month.of(time) in self.events

    def first_outcomes(self, time: datetime) -> tuple[str, ...]:
        """The outcomes that an event of that time can have as the first of its order in the log,
        where the events before it left the log.
        """
        if not self.events:
            return ()
        month = Month.of(time)
        newer = ("updated", "too_late") if min(self.events) <= month else ()
        return newer + (("stale",) if max(self.events) >= month else ())


def read(connection: Connection) -> Archive:
    """The months of which `archived_months` has a row."""
    return Archive({Month.of(first): events for first, events in connection.execute(_MONTHS)})
