"""A dead letter as its page shows it. Pure."""

from typing import Any

from delivery.dead_letters import rendering
from delivery.dead_letters.advice import REPLAYABLE
from delivery.dead_letters.letter import DeadLetter
from delivery.web import masking


def members(letter: DeadLetter, is_masked: bool) -> dict[str, Any]:
    """The letter by the names of its columns, its contents readable or masked.

    `commands` are what resolves it, the likelier first; `value_cut` tells that only the beginning
    of the record's value is shown.
    """
    shown = rendering.members(letter, marks_controls=True)
    if is_masked:
        shown = _masked(shown)
    return shown | {
        "commands": ("replay", "discard") if letter.reason in REPLAYABLE else ("discard", "replay"),
        "value_bytes": letter.value_bytes,
        "value_cut": letter.is_cut and not is_masked,
    }


def _masked(shown: dict[str, Any]) -> dict[str, Any]:
    """With a mask in the place of each content that there is."""
    masked = {name: _mask(shown[name]) for name in ("record_key", "record_value",
                                                    "resolution_note")}  # fmt: skip
    headers = [
        {"key": masking.mask_header(header["key"]), "value": _mask(header["value"])}
        for header in shown["record_headers"]
    ]
    return shown | masked | {"record_headers": headers}


def _mask(value: str | None) -> str | None:
    return None if value is None else masking.mask(value)
