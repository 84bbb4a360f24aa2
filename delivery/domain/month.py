"""A month of event times, in UTC. Pure."""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import NamedTuple

_WRITTEN = re.compile(r"(\d{4})-(\d{2})", re.ASCII)


class Month(NamedTuple):
    """A month of the calendar. Its order is that of time."""

    year: int
    month: int

    @classmethod
    def of(cls, time: date) -> "Month":
        """The month that a day, or a time in UTC, lies in."""
        return cls(time.year, time.month)

    @property
    def first(self) -> datetime:
        """When it begins."""
        return datetime(self.year, self.month, 1, tzinfo=UTC)

    @property
    def following(self) -> "Month":
        """The month after it."""
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    def __str__(self) -> str:
        return f"{self.year:04}-{self.month:02}"


def parse(text: str) -> Month:
    """Reads what `str` writes. Raises ValueError with a text that says how it is written."""
    if (parts := _WRITTEN.fullmatch(text)) and 1 <= int(parts[2]) <= 12 and int(parts[1]):
        return Month(int(parts[1]), int(parts[2]))
    raise ValueError(f"{text!r} is not a month such as 2025-01")


def listed(months: Iterable[Month]) -> str:
    """The months as people read them, those in a row as one: `2024-01 to 2024-12, 2025-02`."""
    spans: list[tuple[Month, Month]] = []
    for month in sorted(set(months)):
        if spans and spans[-1][1].following == month:
            spans[-1] = spans[-1][0], month
        else:
            spans.append((month, month))
    return ", ".join(f"{a}" if a == b else f"{a} to {b}" for a, b in spans)
