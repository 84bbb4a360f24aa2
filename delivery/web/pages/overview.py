"""The figures of the first page: throughput, outcomes, lag, deliveries, open dead letters."""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from fastapi import FastAPI

from delivery import status
from delivery.dead_letters import queries as letter_queries
from delivery.domain.vocabulary import OUTCOMES
from delivery.errors import NotMigratedError
from delivery.postgres import database
from delivery.postgres.database import Connection
from delivery.web import queries
from delivery.web.activity import Activity
from delivery.web.pages import charts, display, liveness


class Span(NamedTuple):
    """How far back the charts go, and in which steps, also in words."""

    length: timedelta
    width: timedelta
    step: str
    clock: str  # strftime


SPANS = {
    "hour": Span(timedelta(hours=1), timedelta(minutes=1), "a minute", "%H:%M"),
    "day": Span(timedelta(days=1), timedelta(minutes=15), "in 15 minutes", "%H:%M"),
    "week": Span(timedelta(days=7), timedelta(hours=2), "in 2 hours", "%m-%d %H:%M"),
}


def figures(app: FastAPI, connection: Connection, span: str) -> dict[str, Any]:
    """All that the page shows, from counts that are made beside the requests.

    `span` is one of `SPANS`.
    """
    return {
        "span": span,
        "spans": SPANS,
        "events": queries.estimated_events(connection),
        **_activity(app.state.activity, SPANS[span]),
        **liveness.described(
            app.state.lag.latest(), *status.last_consumed(connection), _wrong_schema(connection)
        ),
        **_letters(letter_queries.count_open(connection, queries.MOST_LETTERS)),
    }


def _wrong_schema(connection: Connection) -> str | None:
    """Why this version does not run on the database's schema."""
    try:
        database.require_migrated(connection)
    except NotMigratedError as error:
        return str(error)
    return None


def _activity(activity: Activity, span: Span) -> dict[str, Any]:
    now = datetime.now(UTC)
    begin = now - span.length + span.width  # the step that now belongs to is one of them
    buckets = activity.buckets(begin, now, span.width)
    counted = [
        (bucket.start.astimezone(display.zone()), bucket.counts)
        for bucket in buckets
        if bucket.counts is not None
    ]
    sums = {name: sum(counts[name] for _, counts in counted) for name in OUTCOMES}
    throughput = charts.columns([(start, sum(counts.values())) for start, counts in counted])
    deliveries = activity.deliveries()
    return {
        "total": sum(sums.values()),
        "is_counted": bool(counted),
        "counted_since": counted[0][0] if 0 < len(counted) < len(buckets) else None,
        "throughput": throughput,
        "peak": max(throughput.bars, key=lambda bar: bar.number, default=None),
        "outcomes": charts.bars(list(sums.items())),
        "deliveries": charts.bars(list((deliveries.value or {}).items())),
        "deliveries_at": deliveries.at,
        "width": charts.WIDTH,
        "height": charts.HEIGHT,
    }


def _letters(counts: dict[str, int]) -> dict[str, Any]:
    letters = {
        "total": sum(counts.values()),
        "is_more": any(number >= queries.MOST_LETTERS for number in counts.values()),
        "most": queries.MOST_LETTERS,
        "bars": charts.bars(list(counts.items())),
    }
    return {"letters": letters}
