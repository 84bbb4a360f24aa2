"""A Kafka record's timestamp and place."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delivery.domain.record import Record, offset_ranges, record_time

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST = 253_402_300_799_999  # the last millisecond of the year 9999


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [
        pytest.param(0, "1970-01-01 00:00:00.000", id="the epoch"),
        pytest.param(1, "1970-01-01 00:00:00.001", id="a millisecond"),
        pytest.param(1_767_225_674_254, "2026-01-01 00:01:14.254", id="our time"),
        pytest.param(4_102_444_799_999, "2099-12-31 23:59:59.999", id="the end of the century"),
    ],
)
def test_a_timestamp_is_read_to_the_millisecond(milliseconds: int, expected: str) -> None:
    assert record_time(milliseconds) == datetime.fromisoformat(f"{expected}+00:00")


@pytest.mark.parametrize(
    "milliseconds",
    [
        pytest.param(-1, id="Kafka's mark for no timestamp"),
        pytest.param(-(2**63), id="the least of 64 bits"),
        pytest.param(LAST + 1, id="the year 10000"),
        pytest.param(2**63 - 1, id="the greatest of 64 bits"),
    ],
)
def test_a_record_may_have_no_time_that_a_calendar_knows(milliseconds: int) -> None:
    assert record_time(milliseconds) is None


@given(st.integers(0, 8_589_934_591_000))  # the 34th bit of seconds: the year 2242
@settings(max_examples=200, deadline=None)
def test_every_millisecond_until_2242_is_exact(milliseconds: int) -> None:
    assert record_time(milliseconds) == EPOCH + timedelta(milliseconds=milliseconds)


def test_the_place_of_a_record_is_topic_partition_and_offset() -> None:
    record = Record("OrderCreateEvent", 3, 42, EPOCH, None, b"{}", ())
    assert record.coordinates == ("OrderCreateEvent", 3, 42)


def test_the_span_of_a_partition_is_its_first_and_last_offset() -> None:
    places = [("a", 0, 7), ("a", 1, 3), ("a", 0, 9), ("b", 0, 1), ("a", 0, 20)]
    records = [Record(*place, None, None, None, ()) for place in places]
    assert offset_ranges(records) == {("a", 0): (7, 20), ("a", 1): (3, 3), ("b", 0): (1, 1)}
    assert offset_ranges([]) == {}
