"""A dead letter as its page tells it. Pure."""

import codecs
from typing import Any

from delivery.dead_letters import advice
from delivery.web import masking

Row = dict[str, Any]

# What is wrong is not in the record itself, so that it can be mended.
_MENDED = frozenset({"future_event_time", "refused_by_database"})


def told(row: Row, is_masked: bool) -> Row:
    """The letter with what to do about it; its contents readable, or masked.

    `record_key` and `record_value` of `row` may be the beginning only; `value_bytes` tells.
    """

    def shown(content: bytes | str | None) -> str | None:
        if content is None or not is_masked:
            return _readable(content)
        return masking.mask(content)

    headers = [{"key": h["key"], "value": shown(_content(h))} for h in row["record_headers"]]
    contents = {name: shown(row[name]) for name in ("record_key", "record_value")}
    is_cut = row["record_value"] is not None and row["value_bytes"] > len(row["record_value"])
    return row | {
        "advice": None if row["resolution"] else advice.ADVICE[row["reason"]],
        "commands": ("replay", "discard") if row["reason"] in _MENDED else ("discard", "replay"),
        "resolution_note": shown(row["resolution_note"]),
        "record_headers": headers,
        "value_cut": is_cut and not is_masked,
        **contents,
    }


def _content(header: dict[str, str | None]) -> bytes | str | None:
    """A header's value, as `dead_letters` put it into JSON."""
    value_hex = header.get("value_hex")
    return header["value"] if value_hex is None else bytes.fromhex(value_hex)


def _readable(content: bytes | str | None) -> str | None:
    """Text where it is text, hexadecimal otherwise. A character that is cut at the end is left."""
    if content is None or isinstance(content, str):
        return content
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(content)
    except UnicodeDecodeError:
        return f"0x{content.hex()}"
    return f"0x{content.hex()}" if "\0" in text else text
