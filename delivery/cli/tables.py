"""Tables for people, and how they fit a terminal.

A table that is wider than the terminal leaves out the columns that say nothing, and folds texts
between words and times between date and clock. Ids, coordinates and words of the vocabulary stay
whole: who copies one must have all of it. Where that is not narrow enough, each row is a block with
a line for each value, as in psql's expanded display.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from delivery.invisible import escaped_line
from delivery.local_time import zones

_GAP = 2  # between columns

# A text is folded to no less than this, unless it is shorter: one word a line is no text.
_NARROWEST_TEXT = 24


@dataclass(frozen=True)
class Column:
    """A column as texts, its head among them, and what its values are."""

    head: str
    cells: Sequence[str]
    is_number: bool
    is_time: bool

    @classmethod
    def of(cls, name: str, values: Sequence[Any], zone: tzinfo) -> "Column":
        """These values as people read them: times in a zone, which the head names."""
        is_time = any(isinstance(value, datetime) for value in values)
        head = f"{name} ({zones.name(zone)})" if is_time else name
        is_number = any(isinstance(value, int) for value in values)
        return cls(head, [_cell(value, zone) for value in values], is_number, is_time)

    @property
    def says_nothing(self) -> bool:
        """Whether no row has a value here."""
        return not any(self.cells)

    @property
    def width(self) -> int:
        """How wide it is where nothing is folded."""
        return max(map(cell_len, (self.head, *self.cells)))

    @property
    def narrowest(self) -> int:
        """How narrow it may be made. A text, which has spaces, is folded anywhere if need be."""
        if not self.is_time and any(" " in text for text in self.cells):
            return min(self.width, _NARROWEST_TEXT)
        return max(cell_len(word) for text in (self.head, *self.cells) for word in text.split())


def terminal_width() -> int:
    """Characters on a line of the terminal that stdout is."""
    return Console().width


def laid_out(columns: Sequence[Column], width: int | None) -> str:
    """The table; as wide as it needs to be where no `width` is given."""
    widths = [column.width for column in columns]
    if width is None or _total(widths) <= width:
        return _table(columns, widths)
    columns = [column for column in columns if not column.says_nothing]
    if _total(column.narrowest for column in columns) <= width:
        return _table(columns, _shared(columns, width))
    return "\n".join(_blocks(columns, width))


def _total(widths: Iterable[int]) -> int:
    return sum(width + _GAP for width in widths) - _GAP


def _shared(columns: Sequence[Column], width: int) -> list[int]:
    """The columns' widths: what is left over goes to all alike, to none more than it needs."""
    widths = [column.narrowest for column in columns]
    spare = width - _total(widths)
    needs = sorted((column.width - column.narrowest, i) for i, column in enumerate(columns))
    for number, (need, index) in enumerate(needs):
        share = spare // (len(columns) - number)
        # A time is folded at one place only: half of what it needs would help nobody.
        more = need if need <= share else 0 if columns[index].is_time else share
        widths[index] += more
        spare -= more
    return widths


def _table(columns: Sequence[Column], widths: Sequence[int]) -> str:
    layout = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
    for column, width in zip(columns, widths, strict=True):
        layout.add_column(
            column.head,
            width=width,
            no_wrap=width >= column.width,
            justify="right" if column.is_number else "left",
            overflow="fold",
        )
    for row in zip(*(column.cells for column in columns), strict=True):
        layout.add_row(*row)
    return _rendered(layout, max(_total(widths), 1))


def _blocks(columns: Sequence[Column], width: int) -> Iterator[str]:
    names = [f"{column.head}:" for column in columns]
    widest = max(map(cell_len, names))
    for row in zip(*(column.cells for column in columns), strict=True):
        layout = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), show_header=False)
        layout.add_column(width=widest)
        layout.add_column(overflow="fold")
        for name, value in zip(names, row, strict=True):
            if value:
                layout.add_row(name, value)
        yield _rendered(layout, width)


def _rendered(layout: Table, width: int) -> str:
    # Captured, because rich would end the process with its own exit code where the reader has gone.
    console = Console(width=width, markup=False, highlight=False, emoji=False)
    with console.capture() as captured:
        console.print(layout)
    return captured.get()


def _cell(value: object, zone: tzinfo) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return zones.text(value, zone)
        case _:
            return escaped_line(str(value))
