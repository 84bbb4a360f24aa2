"""All rows of a list, streamed as lines.

They are read page by page, as a client would read them: no transaction and no connection waits for
a slow client, and memory holds one page.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from delivery import history
from delivery.dead_letters import queries
from delivery.history import announcements
from delivery.postgres.database import Connection
from delivery.web.api import formats, models, paging, serializers
from delivery.web.api.formats import Lines
from delivery.web.api.models import DeadLettersQuery, EventsQuery
from delivery.web.api.serializers import Serializer

if TYPE_CHECKING:
    from delivery.web.pool import Pool

ROWS = 1000  # of a page; of large payloads fewer

# Rows, and the position before which others may follow; None where none do.
Page = tuple[Sequence[BaseModel], Any]

# The rows before a position, so many at most.
Read = Callable[[Connection, Any, int], Page]


@dataclass(frozen=True)
class Export:
    """The rows of `read` from a position on, as lines of `model`; `limit` of them at most."""

    name: str
    model: type[BaseModel]
    read: Read
    limit: int | None

    def answer(
        self, request: Request, connection: Connection, lines: Lines, before: Any
    ) -> Response:
        """The response. Its first page is read now: an error is still an answer by itself."""
        first = self.read(connection, before, self._portion(0))
        response = StreamingResponse(
            self._lines(request.app.state.pool, lines, *first),
            media_type=formats.MEDIA_TYPES[lines],
        )
        response.headers["Content-Disposition"] = f'attachment; filename="{self.name}.{lines}"'
        response.headers["Vary"] = "Accept"
        return response

    async def _lines(
        self, pool: "Pool", lines: Lines, rows: Sequence[BaseModel], following: Any
    ) -> AsyncIterator[str]:
        yield formats.header(lines, self.model)
        done = 0
        while True:
            yield await run_in_threadpool(formats.lines, lines, rows)
            done += len(rows)
            if following is None or not (portion := self._portion(done)):
                return
            async with pool.slot() as connection:
                rows, following = await run_in_threadpool(self.read, connection, following, portion)

    def _portion(self, done: int) -> int:
        return ROWS if self.limit is None else min(ROWS, self.limit - done)


def events(request: Request, connection: Connection, query: EventsQuery, lines: Lines) -> Response:
    """What became of records, the newest first."""
    wanted, before = paging.resume(request, connection, query)
    serializer = Serializer(request)

    def read(connection: Connection, before: Any, limit: int) -> Page:
        found = history.page(connection, wanted, limit, before)
        rows = history.whole(found)
        shown = [serializer.event(row) for row in announcements.added(connection, rows)]
        is_last = len(found) < limit and len(rows) == len(found)
        return shown, None if is_last else history.position(rows[-1])

    export = Export("events", models.Event, read, _limit(query))
    return export.answer(request, connection, lines, before)


def dead_letters(
    request: Request, connection: Connection, query: DeadLettersQuery, lines: Lines
) -> Response:
    """Records that could not be processed, the newest first, without their contents."""
    wanted, before = paging.resume_letters(request, query)

    def read(connection: Connection, before: Any, limit: int) -> Page:
        rows = queries.newest_first(connection, wanted, before, limit)
        is_last = len(rows) < limit
        letters = [serializers.letter(row) for row in rows]
        return letters, None if is_last else rows[-1]["dead_letter_id"]

    export = Export("dead-letters", models.Letter, read, _limit(query))
    return export.answer(request, connection, lines, before)


def _limit(query: EventsQuery | DeadLettersQuery) -> int | None:
    """How many rows are asked for: all, unless the request itself says how many."""
    return query.limit if "limit" in query.model_fields_set else None
