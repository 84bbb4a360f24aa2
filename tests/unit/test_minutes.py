"""Counts by minute: which spans are counted, and what buckets they fill."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from delivery.web.minutes import MINUTE, Counted, Minutes, Span

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
HORIZON = 3 * HOUR


WINDOW = timedelta(minutes=30)


def counted(minutes: Minutes, now: datetime, *rows: Counted) -> Minutes:
    """All that is to be counted at this time, of these rows."""
    for span in minutes.due(now):
        add(minutes, span, now, *rows)
    while span_before := minutes.older(now):
        add(minutes, span_before, now, *rows)
    return minutes


def add(minutes: Minutes, span: Span, now: datetime, *rows: Counted) -> None:
    minutes.add(span, [row for row in rows if span[0] <= row[0] < span[1]], now)


def sums(minutes: Minutes, since: datetime, until: datetime, width: timedelta) -> list[int | None]:
    return [
        None if bucket.counts is None else sum(bucket.counts.values())
        for bucket in minutes.buckets(since, until, width)
    ]


def test_before_the_first_count_no_bucket_has_a_number() -> None:
    assert sums(Minutes(HORIZON, WINDOW), NOON, NOON + 2 * MINUTE, MINUTE) == [None, None]


def test_the_newest_hour_is_counted_first_and_then_back_to_the_horizon() -> None:
    minutes = Minutes(HORIZON, WINDOW)
    spans = minutes.due(NOON)
    minutes.add(spans[0], [], NOON)
    while span := minutes.older(NOON):
        spans.append(span)
        minutes.add(span, [], NOON)
    end = NOON + MINUTE
    assert spans == [(end - (n + 1) * HOUR, end - n * HOUR) for n in range(len(spans))]
    assert minutes.since is not None
    assert NOON - HORIZON - HOUR < minutes.since <= NOON - HORIZON


def test_a_bucket_that_is_not_wholly_counted_has_no_number() -> None:
    minutes = Minutes(HORIZON, WINDOW)
    for span in minutes.due(NOON):
        add(minutes, span, NOON, (NOON, "created", 5))
    assert sums(minutes, NOON - 2 * HOUR, NOON + MINUTE, HOUR) == [None, None, 5]


def test_buckets_begin_at_multiples_of_their_width_and_hold_all_that_was_asked_for() -> None:
    rows = [(NOON - 7 * MINUTE, "created", 1), (NOON - MINUTE, "stale", 2), (NOON, "created", 4)]
    minutes = counted(Minutes(HORIZON, WINDOW), NOON, *rows)
    buckets = minutes.buckets(NOON - 7 * MINUTE, NOON + MINUTE, 5 * MINUTE)
    starts = [NOON - 10 * MINUTE, NOON - 5 * MINUTE, NOON]
    assert [bucket.start for bucket in buckets] == starts
    assert sums(minutes, NOON - 7 * MINUTE, NOON + MINUTE, 5 * MINUTE) == [1, 2, 4]
    assert buckets[1].counts is not None
    assert buckets[1].counts["stale"] == 2
    assert buckets[1].counts["rejected"] == 0


@pytest.mark.parametrize("until", [NOON, NOON - MINUTE, datetime.min.replace(tzinfo=UTC)])
def test_a_span_that_ends_before_it_begins_has_no_buckets(until: datetime) -> None:
    assert Minutes(HORIZON, WINDOW).buckets(NOON, until, MINUTE) == []


def test_late_commits_into_the_last_minutes_are_counted_once() -> None:
    minutes = counted(Minutes(HORIZON, WINDOW), NOON, (NOON - MINUTE, "created", 3))
    late = [(NOON - MINUTE, "created", 5), (NOON, "updated", 1)]
    counted(minutes, NOON + timedelta(seconds=5), *late)
    assert sums(minutes, NOON - MINUTE, NOON + MINUTE, MINUTE) == [5, 1]


LATE = (NOON, "created", 3)


@pytest.mark.parametrize("age", [3, 10, 29])
def test_a_commit_within_the_window_is_counted_before_its_age_has_doubled(age: int) -> None:
    minutes = Minutes(HORIZON, WINDOW)
    end = NOON + MINUTE
    for second in range(0, age * 60, 5):
        counted(minutes, end + timedelta(seconds=second))
    for second in range(age * 60, 2 * age * 60 + 5, 5):
        counted(minutes, end + timedelta(seconds=second), LATE)
    assert sums(minutes, NOON, end, MINUTE) == [3]


def test_a_minute_is_counted_some_times_again_and_not_at_every_look() -> None:
    minutes = Minutes(HORIZON, WINDOW)
    ages = []
    for second in range(0, 3 * 3600, 5):
        now = NOON + timedelta(seconds=second)
        for since, until in minutes.due(now):
            if since <= NOON < until:
                ages.append(second // 60 - 1)
            minutes.add((since, until), [], now)
    assert [age for age in ages if age >= 2] == [3, 7, 15, 30]


def test_after_the_window_a_minute_is_as_it_was_counted() -> None:
    minutes = counted(Minutes(HORIZON, WINDOW), NOON + 31 * MINUTE)
    for second in range(0, 3600, 5):
        counted(minutes, NOON + 31 * MINUTE + timedelta(seconds=second), LATE)
    assert sums(minutes, NOON, NOON + MINUTE, MINUTE) == [0]


def test_no_query_counts_more_than_an_hour() -> None:
    minutes = counted(Minutes(12 * HOUR, WINDOW), NOON)
    spans = minutes.due(NOON + 5 * HOUR)
    assert all(until - since <= HOUR for since, until in spans)
    assert (spans[0][0], spans[-1][1]) == (NOON - 30 * MINUTE, NOON + 5 * HOUR + MINUTE)
    assert all(before[1] == after[0] for before, after in pairwise(spans))


def test_after_a_long_rest_nothing_in_between_is_left_out() -> None:
    minutes = counted(Minutes(HORIZON, WINDOW), NOON)
    later = NOON + 90 * MINUTE
    counted(minutes, later, (NOON + 30 * MINUTE, "created", 7))
    assert sums(minutes, NOON + 30 * MINUTE, NOON + 31 * MINUTE, MINUTE) == [7]


def test_what_is_older_than_the_horizon_is_forgotten() -> None:
    minutes = counted(Minutes(HORIZON, WINDOW), NOON, (NOON, "created", 7))
    counted(minutes, NOON + 2 * HORIZON)
    assert sums(minutes, NOON, NOON + MINUTE, MINUTE) == [None]
    assert minutes._counts == {}
