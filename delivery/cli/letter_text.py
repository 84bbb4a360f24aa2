"""How a dead letter is told to people."""

from typing import Any

from delivery.event import Reason
from delivery.repair import DeadLetter

# What to do about a letter, by its reason.
ADVICE: dict[Reason, str] = {
    "tombstone": "an order's deletion has no meaning here: discard it, or ask who sends them",
    "not_json": "ask the producer what it sent; replaying can't help, so discard it with a note",
    "missing_field": "see `delivery schema`; have the producer send the event again, then discard "
    "this one",
    "invalid_field": "see `delivery schema`; have the producer send the event again, then discard "
    "this one",
    "invalid_time": "see `delivery schema`; have the producer send the event again, then discard "
    "this one",
    "future_event_time": "check DELIVERY_EVENT_TIMEZONE and the producer's clock; if the setting "
    "was wrong, mend it and replay",
    "refused_by_database": "mend what the error names (a constraint, a trigger), then replay",
}


def told(letter: DeadLetter) -> dict[str, Any]:
    """The letter whole, under the names of its columns, with what to do about it."""
    record = letter.record
    return {
        "dead_letter_id": letter.dead_letter_id,
        "record": "/".join(map(str, record.place)),
        "record_time": record.time,
        "consumed_at": letter.consumed_at,
        "reason": letter.reason,
        "error": letter.error,
        "order_id": letter.order_id,
        "key": _readable(record.key),
        "value": _readable(record.value),
        "headers": {key: _readable(value) for key, value in record.headers},
        "resolved_at": letter.resolved_at,
        "resolution": letter.resolution,
        "resolution_note": letter.resolution_note,
        "advice": ADVICE[letter.reason] if letter.resolution is None else None,
    }


def _readable(content: bytes | None) -> str | None:
    """Text where it is text that a terminal can show, hexadecimal otherwise."""
    if content is None:
        return None
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return f"0x{content.hex()}"
    return (
        text if text.replace("\n", " ").replace("\t", " ").isprintable() else f"0x{content.hex()}"
    )


def became(letter: DeadLetter) -> str:
    """One line: whether it is resolved, or why not."""
    place = "/".join(map(str, letter.record.place))
    if letter.resolution is None:
        return f"{letter.dead_letter_id} ({place}) stays: {letter.reason}: {letter.error}"
    return f"{letter.dead_letter_id} ({place}) {letter.resolution}"
