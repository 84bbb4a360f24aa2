"""Counts by minute: which spans are counted, and what buckets they fill."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from delivery.web.minutes import MINUTE, Minutes

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
HORIZON = 3 * HOUR


def counted(minutes: Minutes, now: datetime, *rows: tuple[datetime, str, int]) -> Minutes:
    """All that is to be counted at this time, of these rows."""
    span: Any = minutes.newest(now)
    while span:
        minutes.add(span, [row for row in rows if span[0] <= row[0] < span[1]])
        span = minutes.older(now)
    return minutes


def sums(minutes: Minutes, since: datetime, until: datetime, width: timedelta) -> list[int | None]:
    return [
        None if bucket.counts is None else sum(bucket.counts.values())
        for bucket in minutes.buckets(since, until, width)
    ]


def test_before_the_first_count_no_bucket_has_a_number() -> None:
    assert sums(Minutes(HORIZON), NOON, NOON + 2 * MINUTE, MINUTE) == [None, None]


def test_the_newest_hour_is_counted_first_and_then_back_to_the_horizon() -> None:
    minutes = Minutes(HORIZON)
    spans = [minutes.newest(NOON)]
    minutes.add(spans[0], [])
    while span := minutes.older(NOON):
        spans.append(span)
        minutes.add(span, [])
    end = NOON + MINUTE
    assert spans == [(end - (n + 1) * HOUR, end - n * HOUR) for n in range(len(spans))]
    assert minutes.since is not None
    assert NOON - HORIZON - HOUR < minutes.since <= NOON - HORIZON


def test_a_bucket_that_is_not_wholly_counted_has_no_number() -> None:
    minutes = Minutes(HORIZON)
    minutes.add(minutes.newest(NOON), [(NOON, "created", 5)])
    assert sums(minutes, NOON - 2 * HOUR, NOON + MINUTE, HOUR) == [None, None, 5]


def test_buckets_begin_at_multiples_of_their_width_and_hold_all_that_was_asked_for() -> None:
    rows = [(NOON - 7 * MINUTE, "created", 1), (NOON - MINUTE, "stale", 2), (NOON, "created", 4)]
    minutes = counted(Minutes(HORIZON), NOON, *rows)
    buckets = minutes.buckets(NOON - 7 * MINUTE, NOON + MINUTE, 5 * MINUTE)
    starts = [NOON - 10 * MINUTE, NOON - 5 * MINUTE, NOON]
    assert [bucket.start for bucket in buckets] == starts
    assert sums(minutes, NOON - 7 * MINUTE, NOON + MINUTE, 5 * MINUTE) == [1, 2, 4]
    assert buckets[1].counts is not None
    assert buckets[1].counts["stale"] == 2
    assert buckets[1].counts["rejected"] == 0


@pytest.mark.parametrize("until", [NOON, NOON - MINUTE, datetime.min.replace(tzinfo=UTC)])
def test_a_span_that_ends_before_it_begins_has_no_buckets(until: datetime) -> None:
    assert Minutes(HORIZON).buckets(NOON, until, MINUTE) == []


def test_late_commits_into_the_last_minutes_are_counted_once() -> None:
    minutes = counted(Minutes(HORIZON), NOON, (NOON - MINUTE, "created", 3))
    late = [(NOON - MINUTE, "created", 5), (NOON, "updated", 1)]
    counted(minutes, NOON + timedelta(seconds=5), *late)
    assert sums(minutes, NOON - MINUTE, NOON + MINUTE, MINUTE) == [5, 1]


def test_minutes_that_are_over_are_not_counted_again() -> None:
    minutes = counted(Minutes(HORIZON), NOON, (NOON - 10 * MINUTE, "created", 3))
    counted(minutes, NOON + timedelta(seconds=5))
    assert sums(minutes, NOON - 10 * MINUTE, NOON - 9 * MINUTE, MINUTE) == [3]


def test_after_a_long_rest_nothing_in_between_is_left_out() -> None:
    minutes = counted(Minutes(HORIZON), NOON)
    later = NOON + 90 * MINUTE
    counted(minutes, later, (NOON + 30 * MINUTE, "created", 7))
    assert sums(minutes, NOON + 30 * MINUTE, NOON + 31 * MINUTE, MINUTE) == [7]


def test_what_is_older_than_the_horizon_is_forgotten() -> None:
    minutes = counted(Minutes(HORIZON), NOON, (NOON, "created", 7))
    counted(minutes, NOON + 2 * HORIZON)
    assert sums(minutes, NOON, NOON + MINUTE, MINUTE) == [None]
    assert minutes._counts == {}
