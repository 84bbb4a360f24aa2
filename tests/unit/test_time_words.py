"""Times as people write them, in their own zone; what may mean several moments is refused."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from delivery.local_time import words, zones

NOW = datetime(2026, 11, 26, 5, 0, tzinfo=UTC)  # 14:00 in Seoul
SEOUL = ZoneInfo("Asia/Seoul")
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "in_utc"),
    [
        ("10:00", "2026-11-26T01:00"),
        ("9:30", "2026-11-26T00:30"),
        ("10:00:05.25", "2026-11-26T01:00:05.250"),
        ("today", "2026-11-25T15:00"),
        ("Today 10:00", "2026-11-26T01:00"),
        ("today 23:00", "2026-11-26T14:00"),
        ("yesterday", "2026-11-24T15:00"),
        ("yesterday 18:30", "2026-11-25T09:30"),
        ("now", "2026-11-26T05:00"),
        ("2026-11-23", "2026-11-22T15:00"),
        ("2026-11-23 10:00", "2026-11-23T01:00"),
        ("2026-11-23T10:00Z", "2026-11-23T10:00"),
        ("10:00-05:00 ", None),
        # A zone in the text is the text's, whatever the reader's is.
        ("04:30Z", "2026-11-26T04:30"),
        ("04:30 UTC", "2026-11-26T04:30"),
        ("13:00 KST", "2026-11-26T04:00"),
        ("13:00 kst", "2026-11-26T04:00"),
        ("5:00 CET", "2026-11-26T04:00"),
        ("13:00 Asia/Seoul", "2026-11-26T04:00"),
        ("2026-11-23 10:00 KST", "2026-11-23T01:00"),
        ("2026-11-23T10:00 Europe/Berlin", "2026-11-23T09:00"),
        ("yesterday UTC", "2026-11-25T00:00"),
    ],
)
def test_a_time_is_one_of_the_reader_s_zone_unless_it_names_its_own(
    text: str, in_utc: str | None
) -> None:
    if in_utc is None:
        with pytest.raises(ValueError, match="is still to come in UTC-05:00, where it is 00:00"):
            words.read(text, SEOUL, NOW)
        return
    assert words.read(text, SEOUL, NOW) == datetime.fromisoformat(f"{in_utc}+00:00")


@pytest.mark.parametrize(
    ("length", "texts"),
    [
        (timedelta(seconds=90), "90s|90 sec|90 seconds ago"),
        (timedelta(minutes=15), "15m|15min|15 min|15 mins|15 minutes|15 minutes ago"),
        (timedelta(hours=2), "2h|2 hr|2 hours"),
        (timedelta(days=7), "7d|7 days|1 week|1w"),
    ],
)
def test_a_duration_is_before_now(length: timedelta, texts: str) -> None:
    for text in texts.split("|"):
        assert words.read(text, SEOUL, NOW) == NOW - length


def test_a_time_of_the_clock_that_is_still_to_come_is_not_guessed() -> None:
    with pytest.raises(ValueError, match="write 'yesterday 23:00' or 'today 23:00'"):
        words.read("23:00", SEOUL, NOW)


@pytest.mark.parametrize(
    ("abbreviation", "offsets"),
    [
        ("CST", ["-06:00 (America/Chicago)", "+08:00 (Asia/Shanghai)"]),
        ("IST", ["+05:30 (Asia/Kolkata)", "+02:00 (Asia/Jerusalem)", "+01:00 (Europe/Dublin)"]),
    ],
)
def test_an_abbreviation_of_several_zones_is_refused_with_each(
    abbreviation: str, offsets: list[str]
) -> None:
    with pytest.raises(ValueError, match=f"^{abbreviation} means several zones") as raised:
        words.read(f"2026-11-23 10:00 {abbreviation}", UTC, NOW)
    assert all(offset in str(raised.value) for offset in offsets)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "2026-03-29T02:30",
            "2026-03-29 02:30:00 is skipped by the clocks of Europe/Berlin: write "
            "2026-03-29 02:30:00+01:00 or 2026-03-29 02:30:00+02:00",
        ),
        (
            "2026-10-25 02:30",
            "2026-10-25 02:30:00 comes twice in Europe/Berlin: write "
            "2026-10-25 02:30:00+02:00 or 2026-10-25 02:30:00+01:00",
        ),
    ],
)
def test_a_time_that_the_clocks_skip_or_show_twice_is_refused_with_what_to_write(
    text: str, told: str
) -> None:
    with pytest.raises(ValueError, match=r"by the clocks|comes twice") as raised:
        words.read(text, BERLIN, NOW)
    assert str(raised.value) == told
    one, other = (words.read(part, BERLIN, NOW) for part in told.split("write ")[1].split(" or "))
    assert other != one


@pytest.mark.parametrize(
    ("zone", "day", "begins"),
    [
        ("Asia/Beirut", "2026-03-29", "2026-03-28T22:00"),  # midnight is skipped
        ("America/Havana", "2026-11-01", "2026-11-01T04:00"),  # midnight comes twice
        ("Europe/Berlin", "2026-03-29", "2026-03-28T23:00"),
    ],
)
def test_a_day_begins_with_its_first_moment(zone: str, day: str, begins: str) -> None:
    assert words.read(day, ZoneInfo(zone), NOW) == datetime.fromisoformat(f"{begins}+00:00")


@pytest.mark.parametrize(
    "text",
    ["", "KST", "tomorrow", "someday", "24:61", "25:00", "10", "10:00 PM", "10:00 XYZ", "3 months",
     "10:00 Asia/Atlantis", "10:00+09:00 KST", "2026-11-23T10:00Z UTC", "today yesterday",
     "10:00 ../../etc/passwd", "today +09:00", "0001-01-01 KST", "999999999 weeks", "\x00"],
)  # fmt: skip
def test_what_is_no_time_is_told_with_how_one_is_written(text: str) -> None:
    with pytest.raises(ValueError, match=r"is neither a time such as .* 10:00, today or yesterday"):
        words.read(text, SEOUL, NOW)


def test_a_moment_that_the_clocks_show_twice_is_shown_with_its_offset() -> None:
    twice = [datetime(2026, 10, 25, hour, 30, tzinfo=UTC) for hour in (0, 1)]
    assert [zones.text(moment, BERLIN) for moment in twice] == [
        "2026-10-25 02:30:00+02:00",
        "2026-10-25 02:30:00+01:00",
    ]
    assert zones.text(NOW, SEOUL) == "2026-11-26 14:00:00"
