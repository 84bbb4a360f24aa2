"""The records of an order as its page tells them. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from delivery.domain.event import OrderCreated
from delivery.web import json_text, masking
from delivery.web.pages import changes, formatting
from delivery.web.pages.changes import Change, Step

Row = dict[str, Any]

# Characters of one payload. More than some screens of it nobody reads on a page.
SHOWN_PAYLOAD = 20_000
SHOWN_TEXT = 1000  # of a column's value

# A delivery's columns as they are told, beside its status.
_FACTS = ("product_id", "quantity", "ordered_by", "supply_company_id", "consume_company_id",
          "request_message", "delivery_limited_at", "event_time", "created_at",
          "updated_at")  # fmt: skip

_UNKNOWN = (
    "What it changed can't be told here: its payload, or that of the event before it, is too large "
    "or can't be read by the contract of today."
)
_NOTHING = "It changed no field but the delivery's event time."


def delivery(row: Row, is_masked: bool) -> Row:
    """The delivery's status, and its other columns with their values in the order to tell them."""
    fields = [(name, _shown(name, row[name], is_masked)) for name in _FACTS]
    return {"status": row["status"], "fields": fields}


def told(shaped: OrderCreated | None, rows: Sequence[Row], is_masked: bool) -> list[Row]:
    """The rows with what they changed, why others changed nothing, and the payload to be read.

    `rows` are in the order of the log; `shaped` is the event that shaped the delivery before them.
    """
    steps = [Step(row["outcome"], _event(row)) for row in rows]
    pairs = zip(rows, changes.follow(shaped, steps), strict=True)
    return [_told(row, changed, is_masked) for row, changed in pairs]


def _event(row: Row) -> OrderCreated | None:
    shapes = row["outcome"] in changes.SHAPING and row["is_whole"]
    return changes.read(row["payload"]) if shapes else None


def _told(row: Row, changed: tuple[Change, ...] | None, is_masked: bool) -> Row:
    payload, is_cut = _payload(row, is_masked)
    return row | {
        "changes": [_change(change, is_masked) for change in changed or ()],
        "why": _why(row, changed),
        "gap": None if row["event_time"] is None else _gap(row["event_time"], row["consumed_at"]),
        "payload": payload,
        "is_cut": is_cut,
    }


def _change(change: Change, is_masked: bool) -> Change:
    column, old, new = change
    return Change(column, _shown(column, old, is_masked), _shown(column, new, is_masked))


def _why(row: Row, changed: tuple[Change, ...] | None) -> str:
    """Why a row tells no change."""
    if changed is None:
        return _UNKNOWN
    return changes.WHY_NOTHING.get(row["outcome"], _NOTHING)


def _gap(event_time: datetime, arrived: datetime) -> str:
    span = formatting.distance(arrived - event_time)
    return f"arrived {span} {'later' if event_time <= arrived else 'earlier'}"


def _payload(row: Row, is_masked: bool) -> tuple[str | None, bool]:
    """The payload indented, and whether only its beginning is there."""
    if row["payload"] is None:
        return None, False
    tokens: Iterable[str] = (masking.masked_tokens if is_masked else json_text.tokens)(
        row["payload"]
    )
    shown, is_cut = json_text.indented(tokens, SHOWN_PAYLOAD)
    return shown, is_cut or not row["is_whole"]


def _shown(column: str, value: object, is_masked: bool) -> object:
    if is_masked and column in masking.PERSONAL_COLUMNS and value is not None:
        return masking.mask(value)
    if isinstance(value, str) and len(value) > SHOWN_TEXT:
        return f"{value[:SHOWN_TEXT]}… (the first of {formatting.number(len(value))} characters)"
    return value
