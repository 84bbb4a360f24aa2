"""Lists as lines: NDJSON or CSV, by the request's `Accept` or its `format`."""

import csv
import io
import json
from collections.abc import Iterable
from typing import Any, Literal

import mimeparse
from fastapi import Request
from pydantic import BaseModel

Lines = Literal["ndjson", "csv"]
Format = Literal["json", Lines]

MEDIA_TYPES: dict[Format, str] = {
    "csv": "text/csv",
    "ndjson": "application/x-ndjson",
    "json": "application/json",  # the last one is preferred
}
_FORMATS = {media_type: name for name, media_type in MEDIA_TYPES.items()}

DOCUMENTED: dict[str, Any] = {
    MEDIA_TYPES["ndjson"]: {
        "schema": {"type": "string", "description": "An object a line: all rows that match."}
    },
    MEDIA_TYPES["csv"]: {
        "schema": {"type": "string", "description": "RFC 4180, with a header: all that match."}
    },
}


def chosen(request: Request, asked: Format | None) -> Format:
    """The format that is asked for; JSON where `Accept` names none that there is."""
    if asked is not None:
        return asked
    accepted = ",".join(request.headers.getlist("accept"))
    try:
        return _FORMATS.get(mimeparse.best_match(list(_FORMATS), accepted), "json")
    except mimeparse.MimeTypeParseException:
        return "json"


def header(name: Lines, model: type[BaseModel]) -> str:
    """What stands before the rows."""
    return _csv([list(model.model_fields)]) if name == "csv" else ""


def lines(name: Lines, rows: Iterable[BaseModel]) -> str:
    """The rows, a line each; in CSV a value that has members is JSON."""
    if name == "ndjson":
        return "".join(f"{row.model_dump_json()}\n" for row in rows)
    return _csv([map(_cell, row.model_dump(mode="json").values()) for row in rows])


def _csv(rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
