"""Several measurements of the same: their median, their least, their greatest."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Spread:
    """Of at least one measurement."""

    median: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        if self.count == 1:
            return _number(self.median)
        return f"{_number(self.median)} ({_number(self.low)} to {_number(self.high)})"


def spread(samples: Iterable[Mapping[str, Any]], name: str) -> Spread | None:
    """That of one figure over the samples that have it, None if none has."""
    values = [s[name] for s in samples if s.get(name) is not None]
    return Spread(median(values), min(values), max(values), len(values)) if values else None


def scaled(samples: Iterable[Mapping[str, Any]], name: str, factor: float) -> Spread | None:
    """The same in another unit."""
    found = spread(samples, name)
    if found is None:
        return None
    return Spread(found.median * factor, found.low * factor, found.high * factor, found.count)


def _number(value: float) -> str:
    """Three digits that count."""
    if abs(value) >= 100 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
