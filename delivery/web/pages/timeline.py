"""The records of an order as its page shows them. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from delivery.dead_letters import rendering
from delivery.domain.event import DELIVERY_COLUMNS, OrderCreated
from delivery.history import Row
from delivery.postgres.columns import PERSONAL
from delivery.web import json_text, masking
from delivery.web.pages import changes, formatting, language
from delivery.web.pages.changes import Change, Step

# Characters of one payload. More than some screens of it nobody reads on a page.
SHOWN_PAYLOAD = 20_000
SHOWN_TEXT = 1000  # of a column's value
SHOWN_HEADERS = 20  # of a record, which may have thousands

ERASED = "erased"

# A delivery's columns as they are shown, beside its order and its status.
_FACTS = (*DELIVERY_COLUMNS[1:], "created_at", "updated_at")

_UNKNOWN = (
    "What it changed can't be told here: its payload, or that of the event before it, is erased, "
    "archived or too large, or can't be read by the contract of today."
)
_NOTHING = "It changed no field but the delivery's event time."


def delivery(row: Row, is_masked: bool) -> Row:
    """The delivery's status, and its other columns with their values in the order to show them."""
    fields = [(name, _value(name, row[name], is_masked)) for name in _FACTS]
    if row["is_erased"]:
        fields = [
            (name, language.gettext(ERASED) if name in PERSONAL else value)
            for name, value in fields
        ]
    return {"status": row["status"], "fields": fields}


def render(shaped: OrderCreated | None, rows: Sequence[Row], is_masked: bool) -> list[Row]:
    """The rows with what each changed, or why it changed nothing, and its payload indented.

    `rows` are in the order of the log; `shaped` is the event that shaped the delivery before them.
    """
    steps = [Step(row["outcome"], _event(row)) for row in rows]
    pairs = zip(rows, changes.follow(shaped, steps), strict=True)
    return [_rendered(row, changed, is_masked) for row, changed in pairs]


def _event(row: Row) -> OrderCreated | None:
    is_there = row["is_whole"] and row["erasure_id"] is None
    shapes = row["outcome"] in changes.SHAPING and is_there
    return changes.read(row["payload"]) if shapes else None


def _rendered(row: Row, changed: tuple[Change, ...] | None, is_masked: bool) -> Row:
    payload, is_cut = _payload(row, is_masked)
    headers = rendering.event_headers(row["record_headers"], marks_controls=True) or []
    return row | {
        "changes": [_change(change, is_masked) for change in changed or ()],
        "why": _why(row, changed),
        "gap": None if row["event_time"] is None else _gap(row["event_time"], row["consumed_at"]),
        "payload": payload,
        "is_cut": is_cut,
        "headers": _headers(headers[:SHOWN_HEADERS], is_masked),
        "more_headers": len(headers) - SHOWN_HEADERS,
    }


def _change(change: Change, is_masked: bool) -> Change:
    column, old, new = change
    return Change(column, _value(column, old, is_masked), _value(column, new, is_masked))


def _why(row: Row, changed: tuple[Change, ...] | None) -> str:
    """Why a row shows no change."""
    if changed is None:
        return _UNKNOWN
    return changes.WHY_NOTHING.get(row["outcome"], _NOTHING)


def _gap(event_time: datetime, arrived: datetime) -> str:
    span = formatting.distance(arrived - event_time)
    return f"arrived {span} {'later' if event_time <= arrived else 'earlier'}"


def _payload(row: Row, is_masked: bool) -> tuple[str | None, bool]:
    """The payload indented, and whether it is cut. Of an erased one there is only its key."""
    if row["payload"] is None or row["erasure_id"] is not None:
        return None, False
    tokens: Iterable[str] = (masking.masked_tokens if is_masked else json_text.tokens)(
        row["payload"]
    )
    text, is_cut = json_text.indented(tokens, SHOWN_PAYLOAD)
    return text, is_cut or not row["is_whole"]


def _headers(shown: list[dict[str, Any]], is_masked: bool) -> list[dict[str, Any]]:
    if is_masked:
        shown = masking.masked_headers(shown)
    return [{"key": _cut(header["key"]), "value": _cut(header["value"])} for header in shown]


def _value(column: str, value: object, is_masked: bool) -> object:
    if is_masked and column in masking.PERSONAL_COLUMNS and value is not None:
        return masking.mask(value)
    return _cut(value)


def _cut(value: object) -> object:
    """The value; of a text no more than its beginning."""
    if isinstance(value, str) and len(value) > SHOWN_TEXT:
        of_all = f"the first of {formatting.number(len(value))} characters"
        return f"{value[:SHOWN_TEXT]}… ({language.told(of_all)})"
    return value
