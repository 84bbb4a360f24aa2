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
        shown = masking.masked_letter(shown)
    return shown | {
        "commands": ("replay", "discard") if letter.reason in REPLAYABLE else ("discard", "replay"),
        "value_bytes": letter.value_bytes,
        "value_cut": letter.is_cut and not is_masked,
    }
