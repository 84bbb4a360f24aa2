"""How results are written: a table for people, JSON lines or CSV for programs. All on stdout.

Each function flushes at its end, so that a reader who went away (`| head`) is noticed here.
"""

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

Format = Literal["table", "json", "csv"]

# The column that holds JSON as text; it is embedded as it is.
_JSON_TEXT = "payload"

_WIDE_ENOUGH = 10_000  # characters; a table takes as many of them as it needs


def json_lines(objects: Iterable[Mapping[str, Any]]) -> int:
    """Writes each object on one line, and returns how many there were."""
    count = 0
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    for count, members in enumerate(objects, 1):  # noqa: B007 (the last one is the result)
        text = ", ".join([f'"{name}": {_json(name, value)}' for name, value in members.items()])
        sys.stdout.write(f"{{{text}}}\n")
    sys.stdout.flush()
    return count


def csv_lines(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """Writes a header and the rows as CSV (RFC 4180), and returns how many rows there were."""
    count = 0
    sys.stdout.reconfigure(encoding="utf-8", newline="")  # type: ignore[union-attr]
    writer = csv.writer(sys.stdout)
    writer.writerow(names)
    for count, row in enumerate(rows, 1):  # noqa: B007 (the last one is the result)
        writer.writerow([_iso(value) for value in row])
    sys.stdout.flush()
    return count


def table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Writes a table for people. Numbers are right-aligned, times are in UTC.

    A cell is never folded or cut: where the terminal is narrower than the table, the terminal
    folds whole lines, and a file or a pipe has lines as long as they need to be.
    """
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, name in enumerate(names):
        is_number = any(isinstance(row[place], int) for row in rows)
        shown.add_column(name, no_wrap=True, justify="right" if is_number else "left")
    for row in rows:
        shown.add_row(*map(_for_people, row))
    # Captured, because rich would end the process with its own exit code where the reader has gone.
    console = Console(width=_WIDE_ENOUGH, markup=False, highlight=False, emoji=False)
    with console.capture() as captured:
        console.print(shown)
    sys.stdout.write(captured.get())
    sys.stdout.flush()


def note(message: str) -> None:
    """Says something about the result, on stderr."""
    typer.echo(message, err=True)


def _json(name: str, value: object) -> str:
    match value:
        case None:
            return "null"
        case datetime():
            return f'"{value.isoformat()}"'
        case UUID():
            return f'"{value}"'
        case int():
            return str(value)
        case str() if name == _JSON_TEXT:
            # JSON allows line breaks between tokens only, never inside a string.
            return value.replace("\r", " ").replace("\n", " ")
        case _:
            return json.dumps(value, ensure_ascii=False)


def _iso(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


def _for_people(value: object) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ")
        case _:
            return str(value)
