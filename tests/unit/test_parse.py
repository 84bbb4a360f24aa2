"""Times, coordinates and positions as people and links write them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from delivery.history import Position, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-23T10:00:00+09:00", datetime(2026, 11, 23, 1, tzinfo=UTC)),
        ("2026-11-23T10:00Z", datetime(2026, 11, 23, 10, tzinfo=UTC)),
        ("2026-11-23 10:00", datetime(2026, 11, 23, 10, tzinfo=UTC)),
        ("2026-11-23", datetime(2026, 11, 23, tzinfo=UTC)),
        ("0001-01-01T00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_time_is_in_utc(text: str, expected: datetime) -> None:
    time = parse.time(text)
    assert time == expected
    assert time.tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("2h", timedelta(hours=2)),
        ("7d", timedelta(days=7)),
        ("4w", timedelta(weeks=4)),
    ],
)
def test_a_duration_is_a_time_so_long_ago(text: str, ago: timedelta) -> None:
    before = datetime.now(UTC)
    time = parse.time(text)
    assert before <= time + ago <= datetime.now(UTC)


@pytest.mark.parametrize(
    "text",
    ["", "someday", "15", "-15m", "15 x", "٣m", "999999999w", "2026-13-01", "\x00", "\ud800",
     "0001-01-01T00:00+23:59", "9999-12-31T23:59-23:59", "2026-11-23T10:00:00+99:00"],
)  # fmt: skip
def test_what_is_no_time_is_reported(text: str) -> None:
    with pytest.raises(ValueError, match="neither a time such as"):
        parse.time(text)


def test_coordinates_are_topic_partition_and_offset() -> None:
    last = f"a.b_c-d/{2**31 - 1}/{2**63 - 1}"
    assert parse.coordinates(last) == ("a.b_c-d", 2**31 - 1, 2**63 - 1)


@pytest.mark.parametrize(
    "text",
    ["", "a", "a/0", "a/0/", "a/0/1/2", "a/-1/0", f"a/{2**31}/0", f"a/0/{2**63}", "a b/0/0",
     "a/\u0660/0", "a/0/0\n", "a\x00/0/0"],
)  # fmt: skip
def test_what_are_no_coordinates_is_reported(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"neither TOPIC/PARTITION/OFFSET .* nor import:NAME/RUN/LINE"
    ):
        parse.coordinates(text)


def test_a_position_is_read_as_it_was_written() -> None:
    seoul = timezone(timedelta(hours=9))
    written = Position(datetime(2026, 11, 23, 10, 0, 0, 5, seoul), "orders", 3, 2**63 - 1)
    text = str(written)
    assert text == f"2026-11-23T01:00:00.000005+00:00/orders/3/{2**63 - 1}"
    assert parse.position(text) == written


@pytest.mark.parametrize(
    "text",
    ["", "orders/0/1", "2026-11-23/orders/0", "x/orders/0/1", "2026-11-23T10:00Z/orders/0/1/2",
     "0001-01-01T00:00+23:59/orders/0/1"],
)  # fmt: skip
def test_what_is_no_position_is_reported(text: str) -> None:
    with pytest.raises(ValueError, match="is not a link of these pages"):
        parse.position(text)
