"""How a list goes on from page to page: where it stands, and the link to what follows."""

from datetime import datetime
from typing import Any

from fastapi import Request, Response

from delivery.history import parse
from delivery.history.filter import EventFilter, Position
from delivery.web.api import cursor
from delivery.web.api.models import EventsQuery
from delivery.web.api.problems import WrongFieldError


def resume(request: Request, query: EventsQuery) -> tuple[EventFilter, Position | None]:
    """Which events are wanted, and before which position: None for the first page.

    `15m` means what it meant at the first page, or rows would leave the list while it is read.
    """
    since, until, before = query.since, query.until, None
    if query.cursor is not None:
        *span, position = read(request, query.cursor)
        since, until = (None if time is None else datetime.fromisoformat(time) for time in span)
        before = parse.position(position)
    coordinates = None if query.record is None else parse.coordinates(query.record)
    return EventFilter(query.order_id, since, until, query.outcome, coordinates), before


def after_event(request: Request, wanted: EventFilter, last: Position) -> str:
    """The cursor of the page behind the event at `last`."""
    span = [None if time is None else time.isoformat() for time in (wanted.since, wanted.until)]
    return cursor.write(_list_name(request), [*span, str(last)])


def after_letter(request: Request, dead_letter_id: int) -> str:
    """The cursor of the page behind a dead letter."""
    return cursor.write(_list_name(request), [dead_letter_id])


def read(request: Request, text: str) -> list[Any]:
    """The values of a cursor. Raises WrongFieldError unless it is one of this very list."""
    try:
        return cursor.read(_list_name(request), text)
    except ValueError as error:
        raise WrongFieldError("cursor", str(error)) from None


def link(request: Request, response: Response, following: str | None) -> None:
    """Adds the header that leads to the next page (RFC 8288), if there is one."""
    if following is not None:
        url = request.url.include_query_params(cursor=following)
        response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'


def _list_name(request: Request) -> str:
    """The list and its filters in a fixed order, without the page's length and its cursor."""
    filters = [i for i in request.query_params.multi_items() if i[0] not in {"cursor", "limit"}]
    return f"{request.url.path} {sorted(filters)}"
