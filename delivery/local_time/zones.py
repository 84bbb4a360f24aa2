"""Local times and the moments they mean. Where a clock is set forward or back, one may mean none
or two: nothing is guessed then.
"""

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

_NAMES_ITSELF = {"UTC", "GMT", "Z"}
_OFFSET = re.compile(r"(?:UTC)?([+-]\d\d:\d\d)", re.ASCII)


def at(local: datetime, zone: tzinfo) -> datetime:
    """The moment, in UTC, when the clocks of `zone` show `local`.

    Raises ValueError, which says what to write, where they skip it or show it twice.
    """
    first, second = (local.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() == second.utcoffset():
        return first.astimezone(UTC)
    # PEP 495: in a gap, fold=0 has the offset from before it.
    is_skipped = _offset(first) < _offset(second)
    what = "is skipped by the clocks of" if is_skipped else "comes twice in"
    text = local.isoformat(" ")
    raise ValueError(
        f"{text} {what} {name(zone)}: write {text}{iso_offset(first)} or {text}{iso_offset(second)}"
    )


def beginning(day: date, zone: tzinfo) -> datetime:
    """The first moment of a day there, in UTC, also where the clocks skip or repeat midnight."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def text(moment: datetime, zone: tzinfo, timespec: str = "auto") -> str:
    """What the clocks of `zone` show. Where they show it twice, the offset says which it is."""
    local = moment.astimezone(zone)
    shown = local.replace(tzinfo=None).isoformat(" ", timespec)
    is_twice = local.utcoffset() != local.replace(fold=1 - local.fold).utcoffset()
    return f"{shown}{iso_offset(local)}" if is_twice else shown


def name(zone: tzinfo) -> str:
    """As people write it: `Asia/Seoul`, `UTC`, `UTC+09:00`."""
    return zone.key if isinstance(zone, ZoneInfo) else str(zone)


def named(text: str) -> tzinfo | None:
    """The zone of a name such as Asia/Seoul, of an abbreviation (KST) or of an offset (+09:00).

    None where it is no zone. Raises ValueError where an abbreviation means several.
    """
    if text.upper() in _NAMES_ITSELF:
        return UTC
    if offset := _OFFSET.fullmatch(text):
        return _of_offset(offset[1])
    if "/" in text:
        return of_database(text)
    offsets = _abbreviations().get(text.upper(), {})
    if len(offsets) > 1:
        listed = ", ".join(f"{offset} ({example})" for offset, example in offsets.items())
        raise ValueError(
            f"{text.upper()} means several zones: write the offset instead, {listed}, or a name "
            "such as Asia/Seoul"
        )
    return next(map(_of_offset, offsets), None)


def _of_offset(text: str) -> tzinfo | None:
    try:
        return datetime.strptime(text, "%z").tzinfo
    except ValueError:
        return None


def of_database(key: str) -> tzinfo | None:
    """The zone of that name in the IANA database; None where there is none."""
    try:
        return ZoneInfo(key)
    except (KeyError, OSError, ValueError):  # ZoneInfoNotFoundError is a KeyError
        return None


@cache
def _abbreviations() -> dict[str, dict[str, str]]:
    """By abbreviation its offsets of this year, each with a zone of the IANA database."""
    found: dict[str, dict[str, str]] = {}
    for key in sorted(available_timezones(), key=_is_lesser):
        zone = ZoneInfo(key)
        for month in (1, 7):  # winter and summer, on either half of the world
            moment = datetime(datetime.now(UTC).year, month, 15, tzinfo=zone)
            abbreviation = moment.tzname() or ""
            if abbreviation.isalpha():
                found.setdefault(abbreviation, {}).setdefault(iso_offset(moment), key)
    return found


# Of the zones that share an offset and an abbreviation, the one that people know.
_KNOWN = (
    "America/Chicago", "America/Havana", "America/Los_Angeles", "America/New_York",
    "Asia/Jerusalem", "Asia/Kolkata", "Asia/Manila", "Asia/Seoul", "Asia/Shanghai", "Europe/Dublin",
)  # fmt: skip


def _is_lesser(key: str) -> tuple[bool, bool, str]:
    return key not in _KNOWN, "/" not in key or key.startswith("Etc/"), key


def _offset(moment: datetime) -> timedelta:
    return moment.utcoffset() or timedelta(0)


def iso_offset(moment: datetime) -> str:
    """The offset of a moment, such as +09:00. (`%:z` is of Python 3.12.)"""
    return moment.isoformat()[-6:]
