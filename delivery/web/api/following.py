"""How a client follows the log: the rows behind a position, up to where the log is complete."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fastapi import Request, Response

from delivery import history
from delivery.errors import UnavailableError
from delivery.history import announcements, parse
from delivery.history.filter import EventFilter, Position
from delivery.postgres.database import Connection
from delivery.web.api import models, paging
from delivery.web.api.models import EventsQuery
from delivery.web.api.problems import WrongFieldError
from delivery.web.api.serializers import Serializer

if TYPE_CHECKING:
    from delivery.web.watermark import Watermark

START, NOW = "start", "now"

_EARLIEST = datetime.min.replace(tzinfo=UTC)


def events(
    request: Request, response: Response, connection: Connection, query: EventsQuery
) -> models.Events:
    """The rows behind `query.after`, the oldest first, and where they end."""
    if query.cursor is not None:
        raise WrongFieldError("after", "either `after` or `cursor`: they are of different lists")
    if query.event_id is not None or query.ordered_by is not None:
        raise WrongFieldError("after", "not with a search: ask without `after`")
    if query.format not in (None, "json"):
        raise WrongFieldError("format", "`after` is answered as JSON only: it has the next `after`")
    complete_until = _complete_until(request)  # before the first query, whose rows it speaks of
    position = _position(request, query, complete_until)
    wanted = _wanted(query, complete_until)
    found = history.page(connection, wanted, query.limit, after=position)
    rows = history.whole(found)
    is_part = len(found) == query.limit or len(rows) < len(found)
    end = history.position(rows[-1]) if is_part else max(position, before_all(complete_until))
    after = paging.write(request, [_text(end)])
    paging.link(request, response, after, "after")
    serializer = Serializer(request)
    shown = [serializer.event(row) for row in announcements.added(connection, rows)]
    return models.Events(events=shown, next=None, after=after)


def before_all(time: datetime) -> Position:
    """The position before all rows of a time."""
    return Position(time, "", -1, -1)


def _complete_until(request: Request) -> datetime:
    watermark: Watermark = request.app.state.watermark
    latest = watermark.latest()
    if latest is None:
        raise UnavailableError("it is not known yet up to where the log is complete")
    return latest


def _wanted(query: EventsQuery, complete_until: datetime) -> EventFilter:
    """Rows before both times. `since` says where to begin, and `15m` would move on meanwhile."""
    until = complete_until if query.until is None else min(query.until, complete_until)
    coordinates = None if query.record is None else parse.coordinates(query.record)
    return EventFilter(query.order_id, None, until, query.outcome, coordinates)


def _position(request: Request, query: EventsQuery, complete_until: datetime) -> Position:
    if query.after == START:
        return before_all(query.since or _EARLIEST)
    if query.after == NOW:
        return before_all(complete_until)
    (text,) = paging.read(request, str(query.after), "after")
    return parse.position(text) if "/" in text else before_all(datetime.fromisoformat(text))


def _text(position: Position) -> str:
    """A position as it stands in the cursor."""
    return str(position) if position.topic else position.consumed_at.isoformat()
