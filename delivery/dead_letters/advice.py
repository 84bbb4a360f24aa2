"""How a dead letter is told to people."""

import re
from collections.abc import Iterator
from typing import Any

from delivery.dead_letters.queries import DeadLetter, LetterStatus
from delivery.domain.vocabulary import Reason

# Control characters other than tabs and line ends: binary content, or orders to the terminal.
_NOT_TEXT = re.compile(r"\A0x|(?!\t|\r?\n)[\x00-\x1f\x7f-\x9f]")

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
    """The letter whole, under the names of its columns, with what to do about it.

    Contents are text where they are text, otherwise hexadecimal that begins with 0x. A text that
    begins with 0x is hexadecimal too, so that nothing can be taken for what it is not.
    """
    record = letter.record
    return {
        "dead_letter_id": letter.dead_letter_id,
        "record_topic": record.topic,
        "record_partition": record.partition,
        "record_offset": record.offset,
        "record_time": record.time,
        "record_key": _readable(record.key),
        "record_value": _readable(record.value),
        "record_headers": [
            {"key": key, "value": _readable(value)} for key, value in record.headers
        ],
        "reason": letter.reason,
        "error": letter.error,
        "order_id": letter.order_id,
        "consumed_at": letter.consumed_at,
        "resolved_at": letter.resolved_at,
        "resolution": letter.resolution,
        "resolution_note": letter.resolution_note,
        "advice": ADVICE[letter.reason] if letter.resolution is None else None,
    }


def lines(letter: DeadLetter) -> Iterator[str]:
    """The same for people: a line for each column and for each header."""
    for name, value in told(letter).items():
        if name != "record_headers":
            yield f"{name + ':':18}{'' if value is None else value}"
            continue
        for header in value:
            key = _readable(header["key"].encode())
            yield f"{'record_header:':18}{key}={'' if header['value'] is None else header['value']}"


def became(letter: LetterStatus) -> str:
    """One line: whether it is resolved, or why not."""
    place = "/".join(map(str, letter.place))
    if letter.resolution is None:
        error = " ".join(letter.error.split())  # a trigger's message may have several lines
        return f"{letter.dead_letter_id} ({place}) stays: {letter.reason}: {error}"
    return f"{letter.dead_letter_id} ({place}) {letter.resolution}"


def _readable(content: bytes | None) -> str | None:
    """Text where it is text that a terminal can show, hexadecimal otherwise."""
    if content is None:
        return None
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return f"0x{content.hex()}"
    return f"0x{content.hex()}" if _NOT_TEXT.search(text) else text
