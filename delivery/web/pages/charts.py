"""Small charts as inline SVG: what to draw, in the units of the drawing. Pure.

The templates draw them with classes and attributes only: the pages allow no style in the markup.
Each has a table with the same numbers beside it, for those who can't see it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

WIDTH, HEIGHT = 600, 120  # of the columns' area

_GAP = 0.2  # of a column's slot


class Column(NamedTuple):
    """A bar from the bottom up."""

    x: float
    y: float
    width: float
    height: float
    at: datetime
    number: int


class Columns(NamedTuple):
    """A count for each span of time. `top` is the number at the upper edge, a round one."""

    bars: tuple[Column, ...]
    top: int


class Bar(NamedTuple):
    """A bar from the left; `width` is its part of the widest one, 0 to 100."""

    name: str
    number: int
    width: float


def columns(counts: Sequence[tuple[datetime, int]]) -> Columns:
    """A column for each count, in their order. A count above 0 is always visible."""
    top = round_above(max((count for _, count in counts), default=0))
    slot = WIDTH / max(len(counts), 1)
    bars = (_column(n, slot, top, at, count) for n, (at, count) in enumerate(counts))
    return Columns(tuple(bars), top)


def bars(counts: Sequence[tuple[str, int]]) -> tuple[Bar, ...]:
    """A bar for each name, in their order. A count above 0 is always visible."""
    most = max((count for _, count in counts), default=0)
    return tuple(Bar(name, count, _part(count, most, 100, 1)) for name, count in counts)


def round_above(number: int) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50 and so on that is not below `number`."""
    power = 1
    while True:
        for digit in (1, 2, 5):
            if digit * power >= number:
                return digit * power
        power *= 10


def _column(n: int, slot: float, top: int, at: datetime, count: int) -> Column:
    height = _part(count, top, HEIGHT, 2)
    x = round((n + _GAP / 2) * slot, 2)
    return Column(x, round(HEIGHT - height, 2), round(slot * (1 - _GAP), 2), height, at, count)


def _part(count: int, most: int, length: int, least: float) -> float:
    """The length of a bar; `least` keeps a small count visible."""
    return round(max(count / most * length, least), 2) if count > 0 else 0.0
