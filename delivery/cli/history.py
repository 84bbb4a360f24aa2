"""`delivery history`"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, BinaryIO, cast

import typer

from delivery import history as log
from delivery import settings
from delivery.archive import reading
from delivery.cli import output, times
from delivery.cli.arguments import LAST_ID, require_text
from delivery.dead_letters import rendering
from delivery.domain.record import Coordinates
from delivery.domain.vocabulary import OUTCOMES, Outcome
from delivery.errors import SettingsError
from delivery.history import EventFilter, announcements, archived, parse, search
from delivery.postgres import database
from delivery.postgres.database import Connection
from delivery.web import masking

# A payload may hold personal data, so that a table does not show it.
TABLE = ("consumed_at", "outcome", "order_id", "event_time", "record", "reason", "dead_letter_id")
_COLUMNS = (
    "consumed_at",
    "outcome",
    "order_id",
    "event_time",
    "record_topic",
    "record_partition",
    "record_offset",
    "reason",
    "dead_letter_id",
)
TABLE_LIMIT = 100

# The rows that are wanted, of the log or of a file: with a limit, and the names of columns.
Rows = Callable[[int | None, Sequence[str]], Iterator[tuple[Any, ...]]]


@dataclass(frozen=True)
class _Form:
    """How the rows are written."""

    format: output.Format
    limit: int | None
    shows_personal_data: bool


@dataclass(frozen=True)
class _Record:
    """In a class, because typer would take a tuple for several values."""

    coordinates: Coordinates


def _record(text: str) -> _Record:
    try:
        return _Record(parse.coordinates(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _event_id(text: str) -> str:
    try:
        return search.event_id(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _outcome(text: str) -> Outcome:
    for outcome in OUTCOMES:
        if outcome == text:
            return outcome
    raise typer.BadParameter(f"{text!r} is not one of {', '.join(map(repr, OUTCOMES))}")


def history(
    order_id: Annotated[
        int | None,
        typer.Argument(metavar="ORDER_ID", min=1, max=LAST_ID, help="Only this order."),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(parser=times.parsed, metavar="TIME", help="Arrived then or later."),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(parser=times.parsed, metavar="TIME", help="Arrived before then."),
    ] = None,
    outcome: Annotated[
        list[str] | None,  # typer knows no list of literals
        typer.Option(
            parser=_outcome,
            metavar="OUTCOME",
            help=f"One of {', '.join(OUTCOMES)}. May be given several times.",
        ),
    ] = None,
    record: Annotated[
        _Record | None,
        typer.Option(
            parser=_record, metavar="TOPIC/PARTITION/OFFSET", help="What became of this record."
        ),
    ] = None,
    event_id: Annotated[
        str | None,
        typer.Option(parser=_event_id, metavar="ID", help="The event with this eventId."),
    ] = None,
    ordered_by: Annotated[
        int | None,
        typer.Option(
            metavar="ID",
            min=-(2**63),
            max=LAST_ID,
            help="All records of the orders whose delivery names this customer, the "
            f"{search.MOST_ORDERS} with the largest ids.",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=2**31 - 1,
            help=f"The newest N, oldest first. Default: {TABLE_LIMIT} for a table, all otherwise.",
        ),
    ] = None,
    archive: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            callback=require_text,
            help="Read a file of `delivery archive`, or stdin if it is -, and no database.",
        ),
    ] = None,
    output_format: Annotated[
        output.Format,
        typer.Option(
            "--format", help="json is one object a line; json and csv have payload and headers."
        ),
    ] = "table",
    show_personal_data: Annotated[
        bool,
        typer.Option("--show-personal-data", help="With json and csv: the headers unmasked."),
    ] = False,
) -> None:
    """Show what became of records, in the order of their arrival.

    A TIME is 15min, 2h or 7d before now, 10:00, today, yesterday 18:30, or
    ISO 8601 such as 2026-11-23T10:00. It may name a zone (KST, +09:00,
    Asia/Seoul); without one it is read in DELIVERY_DISPLAY_TIMEZONE, UTC unless
    that is set, in which times are shown, too. Where several filters are given, all must hold.

    --event-id and --ordered-by are fast where `delivery migrate --search-indexes`
    has built their indexes. Without them the first reads the log, about a second
    for each million events (a --since shortens that), the second the deliveries.

    A payload is as it was sent. Headers have a mask in their place unless they
    are asked for, and are in hexadecimal then where they are no text.

    \b
    Examples:
      delivery history 42
      delivery history --event-id 7e0b1c0e-6f0b-4e0c-9a57-2f3cf1b1a0d4 --since 7d
      delivery history --since 15m --outcome rejected --outcome conflict
      delivery history --since 2026-11-23T00:00+09:00 --until 2026-11-24T00:00+09:00
      delivery history --record OrderCreateEvent/0/1234 --format json
      delivery history --since 7d --format csv > week.csv
      delivery history 42 --archive processed_events-2024-11.csv.zst
    """
    if show_personal_data and output_format == "table":
        raise typer.BadParameter("--show-personal-data needs --format json or csv")
    form = _Form(output_format, limit, show_personal_data)
    wanted = EventFilter(
        order_id,
        since,
        until,
        cast("list[Outcome]", outcome or []),
        record.coordinates if record else None,
    )
    if event_id is not None and ordered_by is not None:
        raise typer.BadParameter("give either --event-id or --ordered-by")
    if archive is not None:
        if event_id is not None or ordered_by is not None:
            raise typer.BadParameter("--event-id and --ordered-by are for the database's log")
        with _opened(archive) as file:
            rows = partial(reading.events, file, archive, wanted)
            count = _written(rows, form)
    else:
        count = _of_database(wanted, form, event_id, ordered_by)
    if not count:
        output.note("no events match")


def _of_database(
    wanted: EventFilter, form: _Form, event_id: str | None, ordered_by: int | None
) -> int:
    url = settings.load(settings.DatabaseSettings).database_url
    with database.snapshot(url, "delivery history") as connection:
        wanted = search.narrowed(connection, wanted, event_id, ordered_by)
        count = _written(partial(log.events, connection, wanted), form)
        if wanted.order_id is not None and form.format == "table":
            _say_announcement(connection, wanted.order_id)
        if not_shown := archived.named(archived.touched(connection, wanted)):
            output.note(f"months archived, and so not shown: {not_shown}")
    return count


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    if name == "-":
        yield sys.stdin.buffer
        return
    try:
        file = Path(name).open("rb")  # noqa: SIM115 (only its opening is tried)
    except OSError as error:
        raise SettingsError(f"--archive {name}: {error.strerror}") from error
    with file:
        yield file


def _written(rows: Rows, form: _Form) -> int:
    if form.format == "table":
        return _table(rows, form.limit or TABLE_LIMIT)
    found = (_with_headers(row, form) for row in rows(form.limit, log.COLUMNS))
    if form.format == "json":
        return output.json_lines(dict(zip(log.COLUMNS, row, strict=True)) for row in found)
    return output.csv_lines(log.COLUMNS, found)


def _with_headers(row: tuple[Any, ...], form: _Form) -> tuple[Any, ...]:
    """The row with its headers readable, or masked. They are its last column."""
    headers = rendering.event_headers(row[-1])
    if headers is None:
        return row
    return *row[:-1], headers if form.shows_personal_data else masking.masked_headers(headers)


def _table(source: Rows, limit: int) -> int:
    # One row more than is printed tells whether there are more.
    rows = list(source(limit + 1, _COLUMNS))
    if rows:
        output.table(TABLE, [_cells(*row) for row in rows[-limit:]])
    if len(rows) > limit:
        output.note(f"only the newest {limit} are shown: see --limit, or --format json for all")
    return len(rows)


def _say_announcement(connection: Connection, order_id: int) -> None:
    """Says below the table of an order whether and when its delivery was announced."""
    rows = log.events(connection, EventFilter(order_id, outcomes=["created"]), None, _COLUMNS)
    created = [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
    for event in announcements.added(connection, created):
        if announcement := event["announcement"]:
            output.text(f"announcement: {announcement}")


def _cells(*row: Any) -> tuple[object, ...]:
    consumed_at, outcome, order_id, event_time, topic, partition, offset, reason, letter = row
    record = f"{topic}/{partition}/{offset}"
    return consumed_at, outcome, order_id, event_time, record, reason, letter
