"""How a list goes on from page to page: where it stands, and the link to what follows."""

from datetime import datetime
from typing import Any

from fastapi import Request, Response

from delivery.dead_letters.letter import LetterFilter
from delivery.history import parse, search
from delivery.history.filter import EventFilter, Position
from delivery.postgres.database import Connection
from delivery.web import prefix, searching
from delivery.web.api import cursor
from delivery.web.api.models import DeadLettersQuery, EventsQuery
from delivery.web.api.problems import NotAllowedError, WrongFieldError

_NO_FILTERS = {"cursor", "after", "limit", "format"}


def resume(
    request: Request, connection: Connection, query: EventsQuery
) -> tuple[EventFilter, Position | None]:
    """Which events are wanted, and before which position: None for the first page.

    `15m` means what it meant at the first page, or rows would leave the list while it is read.
    Raises WrongFieldError, and NotAllowedError for a search by personal data.
    """
    since, until, before = query.since, query.until, None
    if query.cursor is not None:
        *span, position = read(request, query.cursor)
        since, until = map(_time, span)
        before = parse.position(position)
    coordinates = None if query.record is None else parse.coordinates(query.record)
    wanted = EventFilter(query.order_id, since, until, query.outcome, coordinates)
    _require_searchable(request, query)
    return search.narrowed(connection, wanted, query.event_id, query.ordered_by), before


def resume_letters(request: Request, query: DeadLettersQuery) -> tuple[LetterFilter, int | None]:
    """Which dead letters are wanted, and before which id: None for the first page.

    Raises WrongFieldError, and NotAllowedError for a search by personal data.
    """
    if query.text is not None:
        _require_right(request, "text")
    since, until, before = query.since, query.until, None
    if query.cursor is not None:
        *span, before = read(request, query.cursor)
        if span:  # a cursor of the version before has none
            since, until = map(_time, span)
    wanted = LetterFilter(
        query.resolution,
        query.reason,
        since,
        until,
        query.order_id,
        query.topic,
        query.error,
        query.text,
    )
    return wanted, before


def after_event(request: Request, wanted: EventFilter, last: Position) -> str:
    """The cursor of the page behind the event at `last`."""
    return write(request, [*_span(wanted), str(last)])


def after_letter(request: Request, wanted: LetterFilter, dead_letter_id: int) -> str:
    """The cursor of the page behind a dead letter."""
    return write(request, [*_span(wanted), dead_letter_id])


def write(request: Request, values: list[Any]) -> str:
    """A cursor of this list."""
    return cursor.write(_list_name(request), values)


def read(request: Request, text: str, field: str = "cursor") -> list[Any]:
    """The values of a cursor. Raises WrongFieldError unless it is one of this very list."""
    try:
        return cursor.read(_list_name(request), text)
    except ValueError as error:
        raise WrongFieldError(field, str(error)) from None


def link(
    request: Request, response: Response, following: str | None, field: str = "cursor"
) -> None:
    """Adds the header that leads to the next page (RFC 8288), if there is one."""
    if following is not None:
        url = request.url.include_query_params(**{field: following})
        following_page = prefix.address(f"{url.path}?{url.query}")
        response.headers["Link"] = f'<{following_page}>; rel="next"'


def _require_searchable(request: Request, query: EventsQuery) -> None:
    if query.event_id is not None and query.ordered_by is not None:
        raise WrongFieldError("ordered_by", searching.NOT_BOTH)
    if query.event_id is not None and searching.is_personal(query.event_id):
        _require_right(request, "event_id")
    if query.ordered_by is not None:
        _require_right(request, "ordered_by")


def _require_right(request: Request, field: str) -> None:
    if not searching.is_by_personal_data(request):
        raise NotAllowedError(field, searching.NOT_ALLOWED)
    searching.note(request, field)


def _span(wanted: EventFilter | LetterFilter) -> list[str | None]:
    return [None if time is None else time.isoformat() for time in (wanted.since, wanted.until)]


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _list_name(request: Request) -> str:
    """The list and its filters in a fixed order, without the page's length and its cursor."""
    filters = [i for i in request.query_params.multi_items() if i[0] not in _NO_FILTERS]
    return f"{request.url.path} {sorted(filters)}"
