"""Times as Spring and Jackson write them become UTC datetimes. Pure.

Two forms are read: ISO 8601 (https://en.wikipedia.org/wiki/ISO_8601) with or without offset,
seconds and a fraction of up to nine digits; and Jackson's array of a `LocalDateTime`,
`[year, month, day, hour, minute, second?, nanosecond?]`. Nanoseconds are cut to microseconds, not
rounded: rounding could carry an event past its successor.
"""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

_ISO_8601 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{0,9}))?)?"
    r"(?:([Zz])|([+-])(\d\d)(?::?([0-5]\d)(?::?([0-5]\d))?)?)?",
    re.ASCII,
)

JSON_SCHEMA: dict[str, Any] = {
    "description": "ISO 8601 with or without offset, or Jackson's array of a LocalDateTime. "
    "Without an offset it is read in DELIVERY_EVENT_TIMEZONE.",
    "anyOf": [
        {
            "type": "string",
            "pattern": r"^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d(:\d\d([.,]\d{0,9})?)?"
            r"([Zz]|[+-]\d\d(:?[0-5]\d(:?[0-5]\d)?)?)?$",
            "examples": ["2026-01-01T00:01:14.254Z", "2026-01-01T00:01:14.254000000"],
        },
        {
            "type": "array",
            "items": {"type": "integer"},
            "minItems": 5,
            "maxItems": 7,
            "examples": [[2026, 1, 1, 0, 1], [2026, 1, 1, 0, 1, 14, 254000000]],
        },
    ],
}


class InvalidTimeError(ValueError):
    """The value is not a time, or lies outside the calendar. Its text repeats no value."""


def parse_time(value: object, zone: tzinfo) -> datetime:
    """The time as a datetime in UTC, cut to microseconds.

    A time without offset is local time in `zone`. Raises InvalidTimeError.
    """
    try:
        if type(value) is list:
            return _to_utc(_from_array(value, zone))
        if type(value) is str:
            return _to_utc(_from_text(value, zone))
    except (ValueError, OverflowError) as error:
        raise InvalidTimeError(_reason(error)) from None
    raise InvalidTimeError("is neither ISO 8601 text nor Jackson's array")


def _from_array(numbers: list[object], zone: tzinfo) -> datetime:
    if not 5 <= len(numbers) <= 7:
        raise InvalidTimeError("has to hold 5 to 7 numbers")
    integers = [number for number in numbers if type(number) is int]
    if len(integers) != len(numbers):
        raise InvalidTimeError("holds something that is no integer")
    if len(integers) == 7:
        if not 0 <= integers[6] <= 999_999_999:
            raise InvalidTimeError("has nanoseconds outside 0 to 999999999")
        integers[6] //= 1000
    return datetime(*integers, tzinfo=zone)  # type: ignore[misc,arg-type]


def _from_text(text: str, zone: tzinfo) -> datetime:
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


def _to_utc(time: datetime) -> datetime:
    return time if time.tzinfo is UTC else time.astimezone(UTC)


def _reason(error: Exception) -> str:
    if isinstance(error, InvalidTimeError):
        return str(error)
    if isinstance(error, OverflowError):
        return "lies outside the calendar"
    return "is no valid time of the calendar"
