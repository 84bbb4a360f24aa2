"""A time as Spring and Jackson write it becomes a datetime in UTC, or a reason why not."""

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delivery.domain.event_time import InvalidTimeError, parse_time

SEOUL = ZoneInfo("Asia/Seoul")
NEW_YORK = ZoneInfo("America/New_York")

NANOSECONDS = "123456789"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("2026-01-01T00:01:14.254Z", "2026-01-01 00:01:14.254", id="Z"),
        pytest.param("2026-01-01t00:01:14.254z", "2026-01-01 00:01:14.254", id="small letters"),
        pytest.param("2026-01-01T00:01:14,254Z", "2026-01-01 00:01:14.254", id="decimal comma"),
        pytest.param("2026-01-01T00:01:14Z", "2026-01-01 00:01:14", id="no fraction"),
        pytest.param("2026-01-01T00:01Z", "2026-01-01 00:01", id="no seconds"),
        pytest.param("2026-01-01T00:01+09:00", "2025-12-31 15:01", id="east, no seconds"),
        pytest.param("2026-01-01T00:01:14+09:00", "2025-12-31 15:01:14", id="east"),
        pytest.param("2026-01-01T00:01:14+0900", "2025-12-31 15:01:14", id="offset without colon"),
        pytest.param("2026-01-01T00:01:14+09", "2025-12-31 15:01:14", id="offset of hours"),
        pytest.param("2026-01-01T00:01:14-03:30", "2026-01-01 03:31:14", id="west, half an hour"),
        pytest.param("2026-01-01T00:01:14-00:00", "2026-01-01 00:01:14", id="minus zero"),
        pytest.param("1908-03-31T23:00:00+08:27:52", "1908-03-31 14:32:08", id="offset of seconds"),
        pytest.param("2026-01-01T00:01:14.254000000", "2025-12-31 15:01:14.254", id="local"),
        pytest.param("2026-01-01T00:01:14", "2025-12-31 15:01:14", id="local, no fraction"),
        pytest.param("2026-01-01T00:01", "2025-12-31 15:01", id="local, no seconds"),
        pytest.param("2024-02-29T12:00Z", "2024-02-29 12:00", id="leap day"),
        pytest.param([2026, 1, 1, 0, 0], "2025-12-31 15:00", id="array of 5"),
        pytest.param([2026, 1, 1, 0, 0, 37], "2025-12-31 15:00:37", id="array of 6"),
        pytest.param(
            [2026, 1, 1, 0, 1, 51, 12189000], "2025-12-31 15:01:51.012189", id="array of 7"
        ),
        pytest.param([2026, 1, 1, 0, 1, 51, 0], "2025-12-31 15:01:51", id="zero nanoseconds"),
        pytest.param([2026, 1, 1, 0, 1, 51, 999], "2025-12-31 15:01:51", id="below a microsecond"),
    ],
)
def test_a_time_is_read_in_seoul_unless_it_has_an_offset(
    value: list[int] | str, expected: str
) -> None:
    time = parse_time(value, SEOUL)
    assert time == utc(expected)
    assert time.utcoffset() == timedelta(0)


@pytest.mark.parametrize("digits", range(10))
def test_a_fraction_has_up_to_nine_digits_and_is_cut_to_six(digits: int) -> None:
    time = parse_time(f"2026-01-01T00:00:14.{NANOSECONDS[:digits]}Z", UTC)
    assert time.microsecond == int(NANOSECONDS[: min(digits, 6)].ljust(6, "0"))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("2025-12-31T23:59:59.999999999Z", id="text"),
        pytest.param([2025, 12, 31, 23, 59, 59, 999_999_999], id="array"),
    ],
)
def test_nanoseconds_are_cut_and_not_rounded_into_the_next_year(value: list[int] | str) -> None:
    assert parse_time(value, UTC) == utc("2025-12-31 23:59:59.999999")


# Both as Java's LocalDateTime.atZone decides, so that sender and reader mean the same moment.
@pytest.mark.parametrize(
    ("text", "array", "expected"),
    [
        pytest.param(
            "2026-11-01T01:30:00",
            [2026, 11, 1, 1, 30],
            "2026-11-01 05:30",
            id="an hour that comes twice is the first, summer time",
        ),
        pytest.param(
            "2026-03-08T02:30:00",
            [2026, 3, 8, 2, 30],
            "2026-03-08 07:30",
            id="an hour that is skipped is counted on from winter time",
        ),
    ],
)
def test_a_change_of_clocks_is_decided(text: str, array: list[int], expected: str) -> None:
    assert parse_time(text, NEW_YORK) == parse_time(array, NEW_YORK) == utc(expected)


def test_an_offset_tells_the_two_hours_of_a_clock_set_back_apart() -> None:
    assert parse_time("2026-11-01T01:30-04:00", NEW_YORK) == utc("2026-11-01 05:30")
    assert parse_time("2026-11-01T01:30-05:00", NEW_YORK) == utc("2026-11-01 06:30")


@pytest.mark.parametrize(
    ("value", "zone", "expected"),
    [
        pytest.param("0001-01-01T00:00Z", UTC, "0001-01-01 00:00", id="first moment"),
        pytest.param([1, 1, 1, 0, 0], UTC, "0001-01-01 00:00", id="first moment, array"),
        pytest.param(
            "9999-12-31T23:59:59.999999999Z", UTC, "9999-12-31 23:59:59.999999", id="last moment"
        ),
        pytest.param(
            [9999, 12, 31, 23, 59, 59, 999_999_999],
            UTC,
            "9999-12-31 23:59:59.999999",
            id="last moment, array",
        ),
        pytest.param("0001-01-01T09:00+09:00", UTC, "0001-01-01 00:00", id="first, from the east"),
        pytest.param("9999-12-31T18:59-05:00", UTC, "9999-12-31 23:59", id="last, from the west"),
        pytest.param("9999-12-31T23:59", SEOUL, "9999-12-31 14:59", id="last of Seoul"),
    ],
)
def test_the_calendar_is_used_up_to_its_ends(
    value: list[int] | str, zone: tzinfo, expected: str
) -> None:
    assert parse_time(value, zone) == utc(expected)


@pytest.mark.parametrize(
    ("value", "zone"),
    [
        pytest.param("0001-01-01T08:59+09:00", UTC, id="before the first moment"),
        pytest.param("9999-12-31T19:00-05:00", UTC, id="after the last moment"),
        pytest.param("0001-01-01T00:00", SEOUL, id="before the first moment, by the zone"),
        pytest.param([1, 1, 1, 0, 0], SEOUL, id="before the first moment, by the zone, array"),
        pytest.param("9999-12-31T23:59", NEW_YORK, id="after the last moment, by the zone"),
        pytest.param([9999, 12, 31, 23, 59], NEW_YORK, id="after the last, by the zone, array"),
        pytest.param([2**31, 1, 1, 0, 0], UTC, id="year of 32 bits"),
        pytest.param([2**63, 1, 1, 0, 0], UTC, id="year of 64 bits"),
        pytest.param([-(2**63), 1, 1, 0, 0], UTC, id="negative year of 64 bits"),
        pytest.param([10**400, 1, 1, 0, 0], UTC, id="year of 400 digits"),
        pytest.param([2026, 1, 1, 0, 0, 2**63], UTC, id="seconds of 64 bits"),
    ],
)
def test_what_lies_outside_the_calendar_is_invalid(value: list[int] | str, zone: tzinfo) -> None:
    with pytest.raises(InvalidTimeError, match="calendar"):
        parse_time(value, zone)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="empty text"),
        pytest.param("2026-01-01", id="date"),
        pytest.param("2026-01-01 00:01:14", id="space for T"),
        pytest.param("20260101T000114Z", id="basic format"),
        pytest.param("2026-1-1T0:1Z", id="single digits"),
        pytest.param("12026-01-01T00:00Z", id="year of 5 digits"),
        pytest.param("+2026-01-01T00:00Z", id="signed year"),
        pytest.param("-2026-01-01T00:00Z", id="negative year"),
        pytest.param("0000-01-01T00:00Z", id="year 0"),
        pytest.param("2026-13-01T00:00Z", id="month 13"),
        pytest.param("2026-02-29T00:00Z", id="no leap year"),
        pytest.param("2026-01-01T24:00Z", id="hour 24"),
        pytest.param("2026-01-01T24:00:00Z", id="hour 24, with seconds"),
        pytest.param("2026-01-01T00:60Z", id="minute 60"),
        pytest.param("2026-12-31T23:59:60Z", id="leap second"),
        pytest.param("2026-01-01T00:00:14.1234567890Z", id="10 digits"),
        pytest.param("2026-01-01T00:00.5Z", id="fraction of a minute"),
        pytest.param("2026-01-01T00:00+24:00", id="offset of a day"),
        pytest.param("2026-01-01T00:00-99:00", id="offset of days"),
        pytest.param("2026-01-01T00:00+09:60", id="offset of 60 minutes"),
        pytest.param("2026-01-01T00:00+09:00[Asia/Seoul]", id="zone in brackets"),
        pytest.param("2026-01-01T00:00Z\n", id="line feed behind"),
        pytest.param(" 2026-01-01T00:00Z", id="space before"),
        pytest.param("\uff12\uff10\uff12\uff16-01-01T00:00Z", id="full-width digits"),
        pytest.param("2026-01-01T00:00Z\0", id="NUL behind"),
        pytest.param([0, 1, 1, 0, 0], id="array, year 0"),
        pytest.param([10000, 1, 1, 0, 0], id="array, year 10000"),
        pytest.param([2026, 13, 1, 0, 0], id="array, month 13"),
        pytest.param([2026, 2, 29, 0, 0], id="array, no leap year"),
        pytest.param([2026, 1, 1, 0, 0, 60], id="array, second 60"),
        pytest.param([2026, 1, 1, 0, 0, -1], id="array, negative second"),
        pytest.param([2026, 1, 1, 0, 0, 0, -1], id="array, negative nanosecond"),
        pytest.param([2026, 1, 1, 0, 0, 0, 10**9], id="array, a second of nanoseconds"),
    ],
)
def test_what_is_no_time_of_the_calendar_is_invalid(value: list[int] | str) -> None:
    with pytest.raises(InvalidTimeError):
        parse_time(value, UTC)


# Most are times; the others have a month, day, hour, minute or second that does not exist.
_NEARLY_TIMES = st.from_regex(
    r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{1,10})?"
    r"(Z|[+-][0-2][0-9]:[0-6][0-9])?",
    fullmatch=True,
)


@given(_NEARLY_TIMES, st.sampled_from([UTC, SEOUL, NEW_YORK]))
@settings(max_examples=1000, deadline=None)
def test_the_plain_form_that_python_reads_means_what_the_other_forms_mean(
    text: str, zone: tzinfo
) -> None:
    """A small letter makes it another form, which is read by our own code."""
    assert read(text, zone) == read(text.lower(), zone)


def read(text: str, zone: tzinfo) -> datetime | None:
    try:
        return parse_time(text, zone)
    except InvalidTimeError:
        return None


def moments() -> st.SearchStrategy[datetime]:
    return st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31))  # noqa: DTZ001


@given(moments(), st.integers(0, 999))
@settings(max_examples=200, deadline=None)
def test_text_and_array_mean_the_same_moment(local: datetime, nanoseconds: int) -> None:
    nanosecond = local.microsecond * 1000 + nanoseconds
    text = f"{local.replace(microsecond=0).isoformat()}.{nanosecond:09}"
    array = [*local.timetuple()[:6], nanosecond]
    expected = local.replace(tzinfo=SEOUL).astimezone(UTC)
    assert parse_time(text, SEOUL) == parse_time(array, SEOUL) == expected


@given(moments(), st.integers(-1439, 1439))
@settings(max_examples=200, deadline=None)
def test_an_offset_wins_over_the_zone(local: datetime, minutes: int) -> None:
    time = local.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert parse_time(time.isoformat(), SEOUL) == time


def test_an_array_is_left_as_it_was() -> None:
    array = [2026, 1, 1, 0, 1, 51, 12189000]
    parse_time(array, UTC)
    assert array == [2026, 1, 1, 0, 1, 51, 12189000]
