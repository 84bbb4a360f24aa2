"""What to do about a dead letter. Pure."""

from delivery.domain.lookalike import looks_like
from delivery.domain.vocabulary import Reason

_ASK_THE_PRODUCER = (
    "see `delivery schema`; have the producer send the event again, then discard this one"
)

ADVICE: dict[Reason, str] = {
    "tombstone": "an order's deletion has no meaning here: discard it, or ask who sends them",
    "not_json": "ask the producer what it sent; replaying can't help, so discard it with a note",
    "missing_field": _ASK_THE_PRODUCER,
    "invalid_field": _ASK_THE_PRODUCER,
    "invalid_time": _ASK_THE_PRODUCER,
    "future_event_time": "check DELIVERY_EVENT_TIMEZONE and the producer's clock; if the setting "
    "was wrong, mend it and replay",
    "refused_by_database": "mend what the error names (a constraint, a trigger), then replay",
}

# The cause lies outside the record, so that a replay can succeed after it is mended.
REPLAYABLE: frozenset[Reason] = frozenset({"future_event_time", "refused_by_database"})


def advice(reason: Reason, value: bytes | None, *, is_cut: bool = False) -> str:
    """What to do, for the reason and for what the record's value looks like.

    The latter is said here and not in the letter's error: an error that a later version writes in
    other words would change letters whenever the topic is read again.
    """
    look = None if value is None or reason in REPLAYABLE else looks_like(value, is_cut=is_cut)
    return ADVICE[reason] if look is None else f"{look}; {_ASK_THE_PRODUCER}"
