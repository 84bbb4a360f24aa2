"""How a list goes on from page to page: where it stands, and the link to what follows."""

from datetime import datetime
from typing import Any

from fastapi import Request, Response

from delivery.history import parse as asking
from delivery.history.filter import EventFilter, Position
from delivery.web.api import cursor
from delivery.web.api.models import EventsQuery
from delivery.web.api.problems import WrongFieldError


def resumed(request: Request, asked: EventsQuery) -> tuple[EventFilter, Position | None]:
    """Which events are wanted, and before which row; the latter is None for the first page.

    `15m` means what it meant at the first page, or rows would leave the list while it is read.
    """
    since, until, before = asked.since, asked.until, None
    if asked.cursor is not None:
        *span, last = read(request, asked.cursor)
        since, until = (None if time is None else datetime.fromisoformat(time) for time in span)
        before = Position(datetime.fromisoformat(last[0]), *last[1:])
    place = None if asked.record is None else asking.place(asked.record)
    return EventFilter(asked.order_id, since, until, asked.outcome, place), before


def after_event(request: Request, wanted: EventFilter, last: Position) -> str:
    """The cursor of the page behind the event `last`."""
    span = [time and time.isoformat() for time in (wanted.since, wanted.until)]
    return cursor.write(_name(request), [*span, [last.consumed_at.isoformat(), *last[1:]]])


def after_letter(request: Request, dead_letter_id: int) -> str:
    """The cursor of the page behind a dead letter."""
    return cursor.write(_name(request), [dead_letter_id])


def read(request: Request, given: str) -> list[Any]:
    """What the cursor says. Raises WrongFieldError where it is not one of this very list."""
    try:
        return cursor.read(_name(request), given)
    except ValueError as error:
        raise WrongFieldError("cursor", str(error)) from None


def link(request: Request, response: Response, following: str | None) -> None:
    """Adds the header that leads to the next page (RFC 8288), if there is one."""
    if following is not None:
        url = request.url.include_query_params(cursor=following)
        response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'


def _name(request: Request) -> str:
    """The list with its filters, in one order; neither the page's length nor its cursor."""
    filters = [i for i in request.query_params.multi_items() if i[0] not in {"cursor", "limit"}]
    return f"{request.url.path} {sorted(filters)}"
