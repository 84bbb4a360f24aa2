"""The closed sets of words, each once: tables, metrics and answers carry these very texts. Pure."""

from typing import Literal, get_args

# What became of an event whose key was new: a row of `processed_events`.
EventOutcome = Literal["created", "updated", "too_late", "stale"]

# What became of a record, as `event_history` names it.
Outcome = Literal[EventOutcome, "duplicate", "conflict", "rejected"]

# Why a record became a dead letter.
Reason = Literal[
    "tombstone",
    "not_json",
    "missing_field",
    "invalid_field",
    "invalid_time",
    "future_event_time",
    "refused_by_database",
]

# How far a delivery is. Other services move it; the worker writes only while it is pending.
Status = Literal["pending", "dispatched", "delivered", "cancelled"]

# What became of a dead letter. One that has none yet is open.
Resolution = Literal["replayed", "discarded"]

# By what those rows were found whose personal data was erased.
Criterion = Literal["ordered_by", "order", "dead_letter"]

# What an operator does from the pages.
Action = Literal["replay", "discard", "reveal"]

EVENT_OUTCOMES: tuple[EventOutcome, ...] = get_args(EventOutcome)
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
REASONS: tuple[Reason, ...] = get_args(Reason)
STATUSES: tuple[Status, ...] = get_args(Status)
RESOLUTIONS: tuple[Resolution, ...] = get_args(Resolution)
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)
ACTIONS: tuple[Action, ...] = get_args(Action)
