"""Reads what people type into the forms of the pages. Pure but for the clock.

Each reader raises ValueError with a text for the one who typed; it is shown at the field.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.datastructures import QueryParams

from delivery.dead_letters.letter import STATES, LetterFilter
from delivery.domain.vocabulary import OUTCOMES, REASONS, Outcome
from delivery.history import parse
from delivery.history.filter import EventFilter, Position
from delivery.web import searching
from delivery.web.pages import display

_NUMBER = re.compile(r"\d{1,19}", re.ASCII)
_CUSTOMER = re.compile(r"-?\d{1,19}", re.ASCII)
_LAST_ID = 2**63 - 1

LONGEST_TEXT = 500

Reader = Callable[[str], Any]


def read(
    readers: Mapping[str, Reader], given: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The values of the fields that are not empty, and what is wrong with the others, by field."""
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name, reader in readers.items():
        text = given.get(name, "").strip()
        if text:
            try:
                values[name] = reader(text)
            except ValueError as error:
                errors[name] = str(error)
    return values, errors


@dataclass(frozen=True)
class ActivityForm:
    """The filters of the activity: as they were given, what they mean, and what is wrong.

    `event_id` and `ordered_by` are searched for before `wanted` is read.
    """

    given: dict[str, Any]
    wanted: EventFilter
    event_id: str | None
    ordered_by: int | None
    before: Position | None
    errors: dict[str, str]


def activity(query: QueryParams, is_by_personal_data: bool) -> ActivityForm:
    """Reads the filters. `wanted` leaves out those that are wrong."""
    readers: dict[str, Reader] = {
        "since": time,
        "until": time,
        "order_id": number,
        "record": parse.coordinates,
        "event_id": searching.of_event(is_by_personal_data),
        "ordered_by": searching.of_personal(customer, is_by_personal_data),
        "before": parse.position,
    }
    values, errors = read(readers, query)
    if "event_id" in values and "ordered_by" in values:
        errors["ordered_by"] = searching.NOT_BOTH
    names = query.getlist("outcome")
    try:
        wanted_outcomes = outcomes(names)
    except ValueError as error:
        wanted_outcomes, errors["outcome"] = [], str(error)
    get = values.get
    wanted = EventFilter(
        get("order_id"), get("since"), get("until"), wanted_outcomes, get("record")
    )
    given: dict[str, Any] = {name: query.get(name, "") for name in readers if name != "before"}
    given["outcome"] = names
    return ActivityForm(given, wanted, get("event_id"), get("ordered_by"), get("before"), errors)


@dataclass(frozen=True)
class LettersForm:
    """The filters of the dead letters: as they were given, what they mean, and what is wrong.

    `narrowing` are those that leave letters out which the page has without being asked.
    """

    given: dict[str, str]
    wanted: LetterFilter
    before: int | None
    errors: dict[str, str]

    @property
    def narrowing(self) -> dict[str, str]:
        return {
            name: text
            for name, text in self.given.items()
            if text and (name, text) != ("resolution", STATES[0])
        }


def letters(query: QueryParams, is_by_personal_data: bool) -> LettersForm:
    """Reads the filters. `wanted` leaves out those that are wrong."""
    readers = {
        "reason": one_of(REASONS),
        "resolution": one_of(STATES),
        "since": time,
        "until": time,
        "order_id": number,
        "topic": plain,
        "error": plain,
        "text": searching.of_personal(plain, is_by_personal_data),
        "before": number,
    }
    given = {name: query.get(name, "") for name in readers}
    given["resolution"] = given["resolution"] or STATES[0]
    values, errors = read(readers, given)
    before = values.pop("before", None)
    del given["before"]
    wanted = LetterFilter(values.pop("resolution", STATES[0]), **values)
    return LettersForm(given, wanted, before, errors)


def time(text: str) -> datetime:
    """A time in the visitor's zone, where it names none."""
    return parse.time(text, display.zone())


def number(text: str) -> int:
    """The id of an order or a dead letter."""
    if _NUMBER.fullmatch(text) and 1 <= int(text) <= _LAST_ID:
        return int(text)
    raise ValueError(f"Must be a whole number from 1 to {_LAST_ID}, digits only.")


def customer(text: str) -> int:
    """The id of who ordered, which the contract takes below 1, too."""
    if _CUSTOMER.fullmatch(text) and abs(int(text)) <= _LAST_ID:
        return int(text)
    raise ValueError("must be a whole number, digits only")


def plain(text: str) -> str:
    """A text that the database can compare with."""
    if "\0" in text or len(text) > LONGEST_TEXT:
        raise ValueError(f"Must have at most {LONGEST_TEXT} characters, and no NUL.")
    return text


def outcomes(names: Sequence[str]) -> list[Outcome]:
    """Which outcomes are asked for."""
    if set(names) <= set(OUTCOMES):
        return [outcome for outcome in OUTCOMES if outcome in names]
    raise ValueError(f"Must be of {', '.join(OUTCOMES)}.")


def one_of(names: Sequence[str]) -> Reader:
    """Reads one of these names."""

    def read_name(text: str) -> str:
        if text in names:
            return text
        raise ValueError(f"Must be one of {', '.join(names)}.")

    return read_name
