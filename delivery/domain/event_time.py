"""Times as Spring and Jackson write them become UTC datetimes. Pure.

Two forms are read: ISO 8601 (https://en.wikipedia.org/wiki/ISO_8601) with or without offset,
seconds and a fraction of up to nine digits; and Jackson's array of a `LocalDateTime`,
`[year, month, day, hour, minute, second?, nanosecond?]`. Nanoseconds are cut to microseconds, not
rounded: rounding could carry an event past its successor.
"""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Annotated

from pydantic import Field

_ISO_8601 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{0,9}))?)?"
    r"(?:([Zz])|([+-])(\d\d)(?::?([0-5]\d)(?::?([0-5]\d))?)?)?",
    re.ASCII,
)

# The form that nearly all have. Python reads it in a third of the time that the groups above take,
# but by itself it reads more than ours, and what is more differs by its version.
_PLAIN = re.compile(
    r"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:[0-5]\d)?",
    re.ASCII,
)

_Text = Annotated[
    str,
    Field(
        json_schema_extra={"pattern": f"^{_ISO_8601.pattern}$"},
        description="ISO 8601; without an offset it is read in DELIVERY_EVENT_TIMEZONE",
        examples=["2026-01-01T00:01:14.254Z", "2026-01-01T00:01:14.254000000"],
    ),
]
_Array = Annotated[
    list[int],
    Field(
        min_length=5,
        max_length=7,
        description="Jackson's LocalDateTime, read in DELIVERY_EVENT_TIMEZONE",
        examples=[[2026, 1, 1, 0, 1], [2026, 1, 1, 0, 1, 14, 254000000]],
    ),
]
JacksonTime = Annotated[_Array | _Text, Field(union_mode="left_to_right")]


class InvalidTimeError(ValueError):
    """The value is not a time, or lies outside the calendar. Its text repeats no value."""


def parse_time(time: list[int] | str, zone: tzinfo) -> datetime:
    """The time as a datetime in UTC, cut to microseconds.

    A time without offset is local time in `zone`. Raises InvalidTimeError.
    """
    try:
        local = _from_text(time, zone) if isinstance(time, str) else _from_array(time, zone)
        return local if local.tzinfo is UTC else local.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidTimeError(_reason(error)) from None


def _from_array(numbers: list[int], zone: tzinfo) -> datetime:
    if len(numbers) < 7:
        year, month, day, hour, minute, *second = numbers
        return datetime(year, month, day, hour, minute, second[0] if second else 0, tzinfo=zone)
    year, month, day, hour, minute, to_second, nanosecond = numbers
    if not 0 <= nanosecond <= 999_999_999:
        raise InvalidTimeError("has nanoseconds outside 0 to 999999999")
    return datetime(year, month, day, hour, minute, to_second, nanosecond // 1000, zone)


def _from_text(text: str, zone: tzinfo) -> datetime:
    if _PLAIN.fullmatch(text):
        local = datetime.fromisoformat(text)
        return local if local.tzinfo else local.replace(tzinfo=zone)
    match = _ISO_8601.fullmatch(text)
    if match is None:
        raise InvalidTimeError("is not ISO 8601 such as 2026-01-01T00:01:14.254Z")
    year, month, day, hour, minute, second, fraction, utc, sign, *offset = match.groups()
    microsecond = int(f"{fraction or '':0<6.6}")
    if utc:
        zone = UTC
    elif sign:
        hours, minutes, seconds = (int(part or 0) for part in offset)
        distance = timedelta(hours=hours, minutes=minutes, seconds=seconds)
        zone = timezone(distance if sign == "+" else -distance)
    return datetime(
        int(year), int(month), int(day), int(hour), int(minute), int(second or 0), microsecond, zone
    )


def _reason(error: Exception) -> str:
    if isinstance(error, InvalidTimeError):
        return str(error)
    if isinstance(error, OverflowError):
        return "lies outside the calendar"
    return "is no valid time of the calendar"
