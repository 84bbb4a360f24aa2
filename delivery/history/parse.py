"""What people write to ask for a part of the log: a time, a record's place. Pure but for the clock.

Each raises ValueError with a text that says how it is written.
"""

import re
from datetime import UTC, datetime, timedelta

from delivery.domain.record import Place

_AGO = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

_PLACE = re.compile(r"([a-zA-Z0-9._-]{1,249})/(\d{1,10})/(\d{1,19})", re.ASCII)
_LAST_PARTITION, _LAST_OFFSET = 2**31 - 1, 2**63 - 1


def moment(text: str) -> datetime:
    """A time in UTC: ISO 8601, in UTC where it has no offset, or a duration before now."""
    try:
        if ago := _AGO.fullmatch(text):
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is neither a time such as 2026-11-23T10:00+09:00 nor a duration before now "
            "such as 15m, 2h or 7d"
        ) from None


def place(text: str) -> Place:
    """A record's topic, partition and offset."""
    if parts := _PLACE.fullmatch(text):
        place = parts[1], int(parts[2]), int(parts[3])
        if place[1] <= _LAST_PARTITION and place[2] <= _LAST_OFFSET:
            return place
    raise ValueError(f"{text!r} is not TOPIC/PARTITION/OFFSET such as OrderCreateEvent/0/1234")
