"""Counts of records by outcome and minute, and what is counted of them. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from delivery.domain.vocabulary import OUTCOMES

MINUTE = timedelta(minutes=1)

# A transaction reads the clock that becomes `consumed_at` before it commits, and may last as long
# as Kafka's session timeout, 45 s unless it was set otherwise. Later than this none comes.
SETTLED = timedelta(minutes=2)

PORTION = timedelta(hours=1)  # as much is counted in one query

Span = tuple[datetime, datetime]
Counted = tuple[datetime, str, int]  # minute, outcome, records

NOTHING = dict.fromkeys(map(str, OUTCOMES), 0)


@dataclass(frozen=True)
class Bucket:
    """The records that arrived from `start` until before `start` + width.

    `counts` has every outcome, also with 0; None where the bucket is not wholly counted.
    """

    start: datetime
    counts: dict[str, int] | None


class Minutes:
    """The counts of each minute from `since` until before `until`, a growing span."""

    def __init__(self, horizon: timedelta) -> None:
        self._horizon = horizon
        self._counts: dict[datetime, dict[str, int]] = {}
        self.since: datetime | None = None
        self.until: datetime | None = None

    def newest(self, now: datetime) -> Span:
        """The span to count now: what came since the last count, and what may have come late."""
        end = _floor(now, MINUTE) + MINUTE
        if self.until is None:
            return end - PORTION, end
        return max(self.until - SETTLED, _floor(end - self._horizon, MINUTE)), end

    def older(self, now: datetime) -> Span | None:
        """The span to count next, before all that is counted; None if that is old enough."""
        if self.since is None or self.since <= now - self._horizon:
            return None
        return self.since - PORTION, self.since

    def add(self, span: Span, counted: Iterable[Counted]) -> None:
        """Takes over the counts of a span that `newest` or `older` named. It forgets the oldest."""
        since, until = span
        counts = {m: c for m, c in self._counts.items() if not since <= m < until}
        for minute, outcome, records in counted:
            counts.setdefault(minute.astimezone(UTC), dict(NOTHING))[outcome] += records
        newest = until if self.until is None else max(self.until, until)
        oldest = newest - self._horizon - PORTION
        # Others read meanwhile: what is said to be counted must be there already.
        self._counts = {m: c for m, c in counts.items() if m >= oldest}
        self.since = max(oldest, since if self.since is None else min(self.since, since))
        self.until = newest

    def buckets(self, since: datetime, until: datetime, width: timedelta) -> list[Bucket]:
        """Buckets of whole minutes that together hold all from `since` until before `until`.

        They begin at multiples of `width`, in UTC. The oldest is first.
        """
        counted_since, counts = self.since, self._counts  # in this order: see `add`
        starts = _starts(since, until, width)
        sums: dict[datetime, dict[str, int]] = {start: dict(NOTHING) for start in starts}
        for minute, found in counts.items():
            if (total := sums.get(_floor(minute, width))) is not None:
                for outcome, records in found.items():
                    total[outcome] += records
        return [
            Bucket(start, None if counted_since is None or start < counted_since else sums[start])
            for start in starts
        ]


def _starts(since: datetime, until: datetime, width: timedelta) -> list[datetime]:
    first = _floor(since, width)
    number = -((first - until) // width)  # rounded up
    return [first + n * width for n in range(number)]


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _floor(time: datetime, width: timedelta) -> datetime:
    return time - (time - _EPOCH) % width
