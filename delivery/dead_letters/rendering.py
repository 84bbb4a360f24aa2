"""Dead letters as text for people and as members for JSON. Pure."""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from delivery.dead_letters.advice import advice
from delivery.dead_letters.contents import readable
from delivery.dead_letters.letter import DeadLetter, LetterStatus
from delivery.domain import headers
from delivery.domain.record import Header


def members(letter: DeadLetter, *, marks_controls: bool = False) -> dict[str, Any]:
    """The letter under the names of its columns, with what to do about it.

    The record's contents are `readable`.
    """
    record = letter.record
    text = partial(readable, marks_controls=marks_controls)
    return {
        "dead_letter_id": letter.dead_letter_id,
        "record_topic": record.topic,
        "record_partition": record.partition,
        "record_offset": record.offset,
        "record_topic_id": record.topic_id,
        "record_time": record.time,
        "record_key": text(record.key),
        "record_value": text(record.value, is_cut=letter.is_cut),
        "record_headers": _headers(record.headers, marks_controls),
        "reason": letter.reason,
        "error": letter.error,
        "order_id": letter.order_id,
        "consumed_at": letter.consumed_at,
        "resolved_at": letter.resolved_at,
        "resolution": letter.resolution,
        "resolution_note": letter.resolution_note,
        "resolved_by": letter.resolved_by,
        "advice": None if letter.resolution else _advice(letter),
        "erasure_id": letter.erasure_id,
    }


def event_headers(
    stored: str | None, *, marks_controls: bool = False
) -> list[dict[str, Any]] | None:
    """The headers of a row of the log in the same form; None where it has none."""
    if stored is None:
        return None
    return _headers(headers.from_json(json.loads(stored)), marks_controls)


def lines(letter: DeadLetter) -> Iterator[str]:
    """The same for people: a line for each column and for each header."""
    for name, value in members(letter).items():
        if letter.erasure_id is not None and name in {"record_key", "record_value"}:
            yield _line(name, "erased")
        elif name == "record_headers":
            for header in value:
                yield _line("record_header", f"{_key(header)}={_or_empty(header['value'])}")
        else:
            yield _line(name, _or_empty(value))


def status_line(letter: LetterStatus, if_open: str = "stays") -> str:
    """One line: whether the letter is resolved, or why not."""
    coordinates = "/".join(map(str, letter.coordinates))
    if letter.resolution is None:
        error = " ".join(letter.error.split())  # a trigger's message may have several lines
        return f"{letter.dead_letter_id} ({coordinates}) {if_open}: {letter.reason}: {error}"
    return f"{letter.dead_letter_id} ({coordinates}) {letter.resolution}"


def _headers(found: Sequence[Header], marks_controls: bool) -> list[dict[str, Any]]:
    return [
        {"key": key, "value": readable(value, marks_controls=marks_controls)}
        for key, value in found
    ]


def _advice(letter: DeadLetter) -> str:
    return advice(letter.reason, letter.record.value, is_cut=letter.is_cut)


def _key(header: dict[str, Any]) -> str | None:
    return readable(header["key"].encode())


def _line(name: str, value: object) -> str:
    return f"{name + ':':18}{value}"


def _or_empty(value: object) -> object:
    return "" if value is None else value
