"""How results are written: for people as text and tables, for programs as JSON lines or CSV.

Results go to stdout, notes to stderr. What is for people has escapes for invisible characters, and
for those that the stream's encoding lacks; what is for programs is UTF-8. Each function flushes at
its end, so that a reader who went away (`| head`) is noticed here.
"""

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from delivery.cli import times
from delivery.invisible import escaped

Format = Literal["table", "json", "csv"]

# The column that holds JSON as text; it is embedded as it is.
_JSON_TEXT = "payload"


def json_lines(objects: Iterable[Mapping[str, Any]]) -> int:
    """Writes each object on one line, and returns how many there were."""
    count = 0
    _write_utf8()
    for count, members in enumerate(objects, 1):  # noqa: B007 (the last one is the result)
        text = ", ".join([f'"{name}": {_json(name, value)}' for name, value in members.items()])
        sys.stdout.write(f"{{{text}}}\n")
    sys.stdout.flush()
    return count


def json_document(document: object) -> None:
    """Writes one indented JSON document."""
    _write_utf8()
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def csv_lines(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """Writes a header and the rows as CSV (RFC 4180), and returns how many rows there were."""
    count = 0
    _write_utf8(newline="")
    writer = csv.writer(sys.stdout)
    writer.writerow(names)
    for count, row in enumerate(rows, 1):  # noqa: B007 (the last one is the result)
        writer.writerow([_csv_cell(value) for value in row])
    sys.stdout.flush()
    return count


def table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Writes a table for people. Numbers are right-aligned. Times are in
    DELIVERY_DISPLAY_TIMEZONE, and the head of their column names it.

    A file or a pipe has a row on one line that is as long as it needs to be. On a terminal a table
    that is wider than it is laid out anew: see `tables`.
    """
    # Imported here, for other commands to start without it.
    from delivery.cli import tables

    zone = times.zone()
    columns = [
        tables.Column.of(name, [row[index] for row in rows], zone)
        for index, name in enumerate(names)
    ]
    width = tables.terminal_width() if sys.stdout.isatty() else None
    sys.stdout.write(tables.laid_out(columns, width))
    sys.stdout.flush()


def text(message: str = "") -> None:
    """Writes a text for people as a line."""
    sys.stdout.write(f"{escaped(message)}\n")
    sys.stdout.flush()


def note(message: str) -> None:
    """Says something about the result, on stderr."""
    sys.stderr.write(f"{escaped(message)}\n")
    sys.stderr.flush()


def _write_utf8(**options: Any) -> None:
    # A lone surrogate becomes \udcff, which is an escape of JSON too.
    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", **options)  # type: ignore[union-attr]


def _json(name: str, value: object) -> str:
    match value:
        case None:
            return "null"
        case datetime():
            return f'"{value.isoformat()}"'
        case UUID():
            return f'"{value}"'
        case int() if not isinstance(value, bool):
            return str(value)
        case str() if name == _JSON_TEXT:
            # JSON allows line breaks between tokens only, never inside a string.
            return value.replace("\r", " ").replace("\n", " ")
        case _:
            return json.dumps(value, ensure_ascii=False)


def _csv_cell(value: object) -> object:
    match value:
        case datetime():
            return value.isoformat()
        case list():
            return json.dumps(value, ensure_ascii=False)
        case _:
            return value
