"""Reads a time as people write it: the command line, the pages and the API share this.

2026-11-23T10:00+09:00   2026-11-23 10:00 KST   2026-11-23   10:00   10:00 Asia/Seoul
today   yesterday 18:30   now   15min   2h   7 days ago
"""

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from delivery.local_time import zones

_UNITS = {
    "seconds": "s|sec|secs|second|seconds",
    "minutes": "m|min|mins|minute|minutes",
    "hours": "h|hr|hrs|hour|hours",
    "days": "d|day|days",
    "weeks": "w|week|weeks",
}
_ZONE = r"(?: ?(?P<zone>[A-Za-z]{3,5}|[A-Za-z]\w*(?:/[\w+-]+)+))?"

_AGO = re.compile(
    rf"(\d{{1,9}}) ?(?:{'|'.join(f'(?P<{name}>{words})' for name, words in _UNITS.items())})"
    "(?: ago)?",
    re.ASCII,
)
_OF_DAY = re.compile(
    r"(?P<day>today|yesterday)?(?: ?(?P<clock>\d{1,2}:\d\d(?::\d\d(?:\.\d{1,6})?)?)"
    rf"(?P<offset>Z|[+-]\d\d:\d\d)?)?{_ZONE}",
    re.ASCII | re.IGNORECASE,
)
_ISO = re.compile(rf"(?P<iso>.*\dZ?){_ZONE}", re.ASCII)


def read(text: str, zone: tzinfo = UTC, now: datetime | None = None) -> datetime:
    """The moment, in UTC. Without an offset or a zone of its own the text is a time in `zone`.

    Raises ValueError, which says what to write: also where the text may mean several moments.
    """
    now = now or datetime.now(UTC)
    plain = " ".join(text.split())
    try:
        found = _ago(plain, now) or _of_day(plain, zone, now) or _iso(plain, zone)
    except OverflowError:
        found = None
    if found is None:
        raise ValueError(
            f"{text!r} is neither a time such as 2026-11-23T10:00+09:00, 10:00, today or "
            "yesterday 18:30 KST, nor a duration before now such as 15min, 2h or 7d"
        )
    return found


def _ago(plain: str, now: datetime) -> datetime | None:
    if plain.lower() == "now":
        return now
    if (ago := _AGO.fullmatch(plain)) is None:
        return None
    return now - timedelta(**{str(ago.lastgroup): int(ago[1])})


def _of_day(plain: str, zone: tzinfo, now: datetime) -> datetime | None:
    """Of `today` or `yesterday`, or a time of the clock alone."""
    parts = _OF_DAY.fullmatch(plain)
    if parts is None or not (parts["day"] or parts["clock"]):
        return None
    if (there := _zone(parts["zone"], zone, _of_offset(parts["offset"]))) is None:
        return None
    day = now.astimezone(there).date()
    if (parts["day"] or "").lower() == "yesterday":
        day -= timedelta(days=1)
    if not parts["clock"]:
        return zones.beginning(day, there)
    if (clock := _clock(parts["clock"])) is None:
        return None
    found = zones.at(datetime.combine(day, clock), there)
    if not parts["day"] and found > now:
        raise ValueError(
            f"{plain!r} is still to come in {zones.name(there)}, where it is "
            f"{now.astimezone(there):%H:%M}: write 'yesterday {plain}' or 'today {plain}'"
        )
    return found


def _iso(plain: str, zone: tzinfo) -> datetime | None:
    """ISO 8601, and a zone behind it."""
    if (parts := _ISO.fullmatch(plain)) is None:
        return None
    try:
        parsed = datetime.fromisoformat(parts["iso"])
    except ValueError:
        return None
    if (there := _zone(parts["zone"], zone, parsed.tzinfo)) is None:
        return None
    if parsed.tzinfo:
        return parsed.astimezone(UTC)
    day = _day(parts["iso"])
    return zones.at(parsed, there) if day is None else zones.beginning(day, there)


def _zone(named: str | None, default: tzinfo, own: tzinfo | None) -> tzinfo | None:
    """The zone of a text; None where it names an unknown one, or one beside its own offset."""
    if named is None:
        return own or default
    return None if own else zones.named(named)


def _of_offset(text: str | None) -> tzinfo | None:
    return datetime.strptime(text.upper(), "%z").tzinfo if text else None


def _clock(text: str) -> time | None:
    try:
        return time.fromisoformat(text.rjust(5 + len(text[text.index(":") + 3 :]), "0"))
    except ValueError:
        return None


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
