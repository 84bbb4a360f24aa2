"""Counts of records by outcome and minute, and which minutes are to be counted next. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from delivery.domain.vocabulary import OUTCOMES

MINUTE = timedelta(minutes=1)
PORTION = timedelta(hours=1)  # one query counts no more

# Nearly every transaction commits within this time of its `consumed_at`: so long a minute is
# counted again at every look.
FRESH = timedelta(minutes=2)

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
    """The counts of each minute from `since` until before `until`, a growing span.

    A transaction reads the clock that becomes `consumed_at` before it commits, and may last as long
    as `late_commit_window`: so long rows can still appear in a minute that is over. An old minute
    is counted again each time that its age has doubled, the last time at the window's end. A
    window of half an hour so costs five more counts of each row, and not one every few seconds. A
    row that is committed late is counted before it is twice as old as it was at its commit.
    """

    def __init__(self, horizon: timedelta, late_commit_window: timedelta) -> None:
        self._horizon = horizon
        self._window = max(late_commit_window, FRESH)
        self._counts: dict[datetime, dict[str, int]] = {}
        self._ages: dict[datetime, timedelta] = {}  # of open minutes, at their last count
        self.since: datetime | None = None
        self.until: datetime | None = None

    def due(self, now: datetime) -> list[Span]:
        """The spans to count now: what came since the last count, and what may have come late.

        The oldest is first, and none is longer than `PORTION`.
        """
        end = _floor(now, MINUTE) + MINUTE
        start = end - PORTION if self.until is None else max(self.until, end - self._horizon)
        late = (minute for minute in self._ages if minute < start and self._is_due(minute, now))
        return list(_spans([*sorted(late), *_minutes(_floor(start, MINUTE), end)]))

    def older(self, now: datetime) -> Span | None:
        """The span to count next, before all that is counted; None if that is old enough."""
        if self.since is None or self.since <= now - self._horizon:
            return None
        return self.since - PORTION, self.since

    def add(self, span: Span, counted: Iterable[Counted], now: datetime) -> None:
        """Takes over the counts of a span that `due` or `older` named. It forgets the oldest.

        `now` is a time before the count.
        """
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
        self._ages |= {minute: _age(minute, now) for minute in _minutes(since, until)}
        self._ages = {m: age for m, age in self._ages.items() if age < self._window}

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

    def _is_due(self, minute: datetime, now: datetime) -> bool:
        age = _age(minute, now)
        return age < FRESH or age >= min(2 * self._ages[minute], self._window)


def _age(minute: datetime, now: datetime) -> timedelta:
    """How long the minute is over; negative before its end."""
    return now - (minute + MINUTE)


def _minutes(start: datetime, end: datetime) -> Iterator[datetime]:
    return (start + n * MINUTE for n in range((end - start) // MINUTE))


def _spans(minutes: Iterable[datetime]) -> Iterator[Span]:
    """Minutes in rising order as spans without a gap, of `PORTION` at most."""
    start = end = None
    for minute in minutes:
        if start is not None and end is not None and (minute > end or end - start >= PORTION):
            yield start, end
            start = None
        start, end = start or minute, minute + MINUTE
    if start is not None and end is not None:
        yield start, end


def _starts(since: datetime, until: datetime, width: timedelta) -> list[datetime]:
    first = _floor(since, width)
    number = -((first - until) // width)  # rounded up
    return [first + n * width for n in range(number)]


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _floor(time: datetime, width: timedelta) -> datetime:
    return time - (time - _EPOCH) % width
