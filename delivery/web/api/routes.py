"""The HTTP API: what became of records, as JSON."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.routing import APIRoute

from delivery import history
from delivery.dead_letters import queries as letter_queries
from delivery.history import announcements, archived
from delivery.history.filter import EventFilter
from delivery.postgres.database import Connection
from delivery.web import pool, queries
from delivery.web.api import export, following, formats, models, paging, problems, serializers
from delivery.web.api.problems import NotFoundError
from delivery.web.api.serializers import Serializer

if TYPE_CHECKING:
    from delivery.web.activity import Activity
    from delivery.web.lag import Lag

PREFIX = "/api/v1"
FORMER_PREFIX = "/api"  # before there was a version

router = APIRouter(prefix=PREFIX)

HISTORY_LIMIT = 1000  # events of an order
DEFAULT_SPAN = timedelta(hours=1)  # of the stats, before now

Reading = Annotated[Connection, Depends(pool.reading, scope="function")]

_LINK = {"description": 'The next page: rel="next".', "schema": {"type": "string"}}
_LIST: dict[int | str, dict[str, Any]] = {
    200: {"headers": {"Link": _LINK}, "content": formats.DOCUMENTED},
    **problems.documented(403, 422, 503),
}


@router.get("/orders/{order_id}", tags=["orders"], responses=problems.documented(404, 422, 503))
def get_order(
    request: Request,
    connection: Reading,
    order_id: Annotated[int, Path(ge=1, le=models.LAST_ID)],
) -> models.Order:
    """An order: its delivery, and what became of each of its records."""
    wanted = EventFilter(order_id=order_id)
    rows = history.page(connection, wanted, HISTORY_LIMIT + 1)
    delivery = queries.delivery(connection, order_id)
    if not rows and delivery is None:
        raise NotFoundError(f"no record of order {order_id} has arrived")
    serializer = Serializer(request)
    shown = announcements.added(connection, rows[:HISTORY_LIMIT][::-1])
    return models.Order(
        order_id=order_id,
        delivery=None if delivery is None else serializer.delivery(delivery),
        history=[serializer.event(row) for row in shown],
        truncated=len(rows) > HISTORY_LIMIT,
        archived_months=archived.months(archived.touched(connection, wanted)),
    )


@router.get("/events", tags=["events"], response_model=models.Events, responses=_LIST)
def list_events(
    request: Request,
    response: Response,
    connection: Reading,
    query: Annotated[models.EventsQuery, Query()],
) -> models.Events | Response:
    """What became of records, the newest first.

    Pages asked for one after another hold each row once that was there at the first page, whatever
    is added meanwhile. Only a dead letter that is replayed moves: it shows as what it became.
    With `after` they are those that arrive from then on.
    """
    if query.after is not None:
        return following.events(request, response, connection, query)
    if (lines := formats.chosen(request, query.format)) != "json":
        return export.events(request, connection, query, lines)
    wanted, before = paging.resume(request, connection, query)
    rows = history.page(connection, wanted, query.limit + 1, before)
    next_ = None
    if len(rows) > query.limit:
        next_ = paging.after_event(request, wanted, history.position(rows[query.limit - 1]))
    paging.link(request, response, next_)
    serializer = Serializer(request)
    shown = announcements.added(connection, rows[: query.limit])
    events = [serializer.event(row) for row in shown]
    return models.Events(events=events, next=next_, after=None)


@router.get("/dead-letters", tags=["dead-letters"], response_model=models.Letters, responses=_LIST)
def list_dead_letters(
    request: Request,
    response: Response,
    connection: Reading,
    query: Annotated[models.DeadLettersQuery, Query()],
) -> models.Letters | Response:
    """Records that could not be processed, the newest first, without their contents."""
    if (lines := formats.chosen(request, query.format)) != "json":
        return export.dead_letters(request, connection, query, lines)
    wanted, before = paging.resume_letters(request, query)
    rows = letter_queries.newest_first(connection, wanted, before, query.limit + 1)
    letters = [serializers.letter(row) for row in rows[: query.limit]]
    following = None
    if len(rows) > query.limit:
        following = paging.after_letter(request, wanted, letters[-1].dead_letter_id)
    paging.link(request, response, following)
    return models.Letters(dead_letters=letters, next=following)


@router.get(
    "/dead-letters/{dead_letter_id}",
    tags=["dead-letters"],
    responses=problems.documented(404, 422, 503),
)
def get_dead_letter(
    request: Request,
    connection: Reading,
    dead_letter_id: Annotated[int, Path(ge=1, le=models.LAST_ID)],
) -> models.DeadLetter:
    """A dead letter: why, what to do about it, and the record itself."""
    letters = letter_queries.find(connection, [dead_letter_id], models.LONGEST_VALUE)
    if not letters:
        raise NotFoundError(f"there is no dead letter {dead_letter_id}")
    return Serializer(request).dead_letter(letters[0])


@router.get("/stats", tags=["stats"], responses=problems.documented(422, 503))
def get_stats(
    request: Request, connection: Reading, query: Annotated[models.StatsQuery, Query()]
) -> models.Stats:
    """Records by outcome and time, deliveries by status, open dead letters, lag."""
    activity: Activity = request.app.state.activity
    lag: Lag = request.app.state.lag
    since, until = _span(query)
    buckets = activity.buckets(since, until, models.WIDTHS[query.bucket])
    latest = lag.latest()
    return models.Stats(
        since=since,
        until=until,
        bucket=query.bucket,
        buckets=[models.Bucket.model_validate(bucket, from_attributes=True) for bucket in buckets],
        counted_since=activity.counted_since,
        counted_at=activity.counted_at,
        deliveries=serializers.delivery_counts(activity.deliveries()),
        open_dead_letters=letter_queries.count_open(connection, queries.MOST_LETTERS),
        lag=serializers.lag(latest.partitions),
        no_lag=latest.why,
    )


def aliases() -> APIRouter:
    """The same operations at their former addresses."""
    former = APIRouter(prefix=FORMER_PREFIX, include_in_schema=False)
    for route in router.routes:
        if isinstance(route, APIRoute):
            path = route.path.removeprefix(PREFIX)
            former.add_api_route(path, route.endpoint, response_model=route.response_model)
    return former


def _span(query: models.StatsQuery) -> tuple[datetime, datetime]:
    """From when until when: at most as many buckets as an answer may have."""
    until = query.until or datetime.now(UTC)
    since = query.since or datetime.now(UTC) - DEFAULT_SPAN
    longest = models.WIDTHS[query.bucket] * models.MOST_BUCKETS
    return (until - longest if until - since > longest else since), until
