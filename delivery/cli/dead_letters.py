"""`delivery dead-letters`"""

import getpass
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Annotated, Literal, NoReturn

import typer

from delivery import settings
from delivery.cli import output
from delivery.cli.arguments import LAST_ID
from delivery.cli.letter_options import (
    By,
    DryRun,
    Note,
    NoteIfAny,
    OfOrder,
    OfReason,
    OfTopic,
    Since,
    Until,
    WithError,
)
from delivery.dead_letters import groups as causes
from delivery.dead_letters import queries, rendering, resolve
from delivery.dead_letters.letter import LetterFilter, LetterStatus, State
from delivery.domain.event import Contract
from delivery.domain.record import Coordinates
from delivery.domain.vocabulary import Resolution
from delivery.inbox.dead_letters import Resolver
from delivery.postgres import database
from delivery.postgres.database import Connection

SOME_REMAIN = 1  # exit code
TABLE_LIMIT = 100

dead_letters = typer.Typer(
    help="Look at rejected records, replay them, or discard them.",
    no_args_is_help=True,
    add_completion=False,
)

Ids = Annotated[list[int] | None, typer.Argument(metavar="ID...", min=1, max=LAST_ID)]
All = Annotated[bool, typer.Option("--all", help="All that nobody has resolved.")]
TableOrJson = Annotated[
    Literal["table", "json"], typer.Option("--format", help="json is one object a line.")
]


@dead_letters.command("list")
def list_(
    reason: OfReason = None,
    since: Since = None,
    until: Until = None,
    order: OfOrder = None,
    topic: OfTopic = None,
    error: WithError = None,
    resolved_too: Annotated[
        bool, typer.Option("--all", help="Show replayed and discarded letters too.")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=2**31 - 1,
            help=f"The first N. Default: {TABLE_LIMIT} for a table, else all.",
        ),
    ] = None,
    output_format: TableOrJson = "table",
) -> None:
    """List the letters that nobody has resolved, the oldest first.

    A TIME is 15min, 2h or 7d before now, 10:00, today, yesterday 18:30, or
    ISO 8601 such as 2026-11-23T10:00. It may name a zone (KST, +09:00,
    Asia/Seoul); without one it is read in DELIVERY_DISPLAY_TIMEZONE, UTC unless
    that is set, in which times are shown, too. Where several filters are given, all must hold.
    """
    state: State = "any" if resolved_too else "open"
    wanted = LetterFilter(state, reason, since, until, order, topic, error)
    with _snapshot() as connection:
        if output_format == "json":
            count = output.json_lines(queries.oldest_first(connection, wanted, limit))
        else:
            count = _table(connection, wanted, limit or TABLE_LIMIT)
    if not count:
        _say_none(wanted)


@dead_letters.command()
def groups(
    reason: OfReason = None,
    since: Since = None,
    until: Until = None,
    order: OfOrder = None,
    topic: OfTopic = None,
    error: WithError = None,
    resolved_too: Annotated[
        bool, typer.Option("--all", help="Count replayed and discarded letters too.")
    ] = False,
    output_format: TableOrJson = "table",
) -> None:
    """Count open letters by cause: one reason, and one error but for the numbers in it.

    An N in an error stands for any number. `list`, `replay --all` and `discard --all` take the
    letters of a group by --reason and --error.
    """
    state: State = "any" if resolved_too else "open"
    wanted = LetterFilter(state, reason, since, until, order, topic, error)
    with _snapshot() as connection:
        limit = None if output_format == "json" else TABLE_LIMIT + 1
        found = causes.largest_first(connection, wanted, limit)
    if output_format == "json":
        output.json_lines(found)
    elif found:
        names = ("letters", "reason", "first_seen", "last_seen", "first_id", "error")
        output.table(names, [[row[name] for name in names] for row in found[:TABLE_LIMIT]])
        if len(found) > TABLE_LIMIT:
            output.note(f"only the largest {TABLE_LIMIT} are shown: --format json has all")
    if not found:
        _say_none(wanted)


@dead_letters.command()
def show(
    letter: Annotated[str, typer.Argument(metavar="ID|TOPIC/PARTITION/OFFSET")],
    output_format: TableOrJson = "table",
) -> None:
    """Show one letter whole: the record as it came, what is wrong, and what to do about it.

    Key, value and headers are shown as text where they are text, in hexadecimal otherwise.
    They may hold personal data. A topic that was made anew may have a second letter at the
    same coordinates: each is shown.
    """
    wanted = _named(letter)
    with _snapshot() as connection:
        ids = [wanted] if isinstance(wanted, int) else queries.ids_at(connection, wanted)
        letters = queries.find(connection, ids)
    if not letters:
        _exit_unknown([wanted if isinstance(wanted, int) else letter])
    if output_format == "json":
        output.json_lines(map(rendering.members, letters))
    else:
        output.text("\n\n".join("\n".join(rendering.lines(found)) for found in letters))


@dead_letters.command()
def replay(
    ids: Ids = None,
    all_: All = False,
    reason: OfReason = None,
    since: Since = None,
    until: Until = None,
    order: OfOrder = None,
    topic: OfTopic = None,
    error: WithError = None,
    note: NoteIfAny = None,
    by: By = None,
    dry_run: DryRun = False,
) -> None:
    """Process the records of letters again, as the worker would.

    What is accepted now is marked as replayed in the transaction that processes it. What is
    rejected again stays, with its new error, and the exit code is 1. Replaying twice changes
    nothing more. Set what the workers have set, DELIVERY_EVENT_TIMEZONE above all: it decides
    which time an event has.

    \b
    Examples:
      delivery dead-letters replay 7 12 --note 'the trigger is mended'
      delivery dead-letters replay --all --reason refused_by_database
      delivery dead-letters replay --all --since 2h --topic orders --dry-run
    """
    wanted = LetterFilter("open", reason, since, until, order, topic, error)
    _require_choice(ids, all_, wanted)
    if dry_run:
        _say_chosen(ids, wanted, "replayed")
        return
    worker = settings.load(settings.WorkerSettings)
    contract = Contract(worker.event_timezone, worker.max_future_skew)
    with _connected_to_write() as connection:
        chosen = ids or _open_ids(connection, wanted)
        resolver = Resolver(by or _user(connection), note)
        portions = resolve.replay(connection, contract, chosen, resolver)
        _report(portions, set(chosen), "replayed")


@dead_letters.command()
def discard(
    note: Note,
    ids: Ids = None,
    all_: All = False,
    reason: OfReason = None,
    since: Since = None,
    until: Until = None,
    order: OfOrder = None,
    topic: OfTopic = None,
    error: WithError = None,
    by: By = None,
    dry_run: DryRun = False,
) -> None:
    """Mark letters as not to be processed, ever. Discarding twice changes nothing more.

    \b
    Examples:
      delivery dead-letters discard 7 12 --note 'test orders'
      delivery dead-letters discard --all --reason not_json --until 7d --note noise --dry-run
    """
    if not note.strip():
        raise typer.BadParameter("--note needs a text that says why")
    wanted = LetterFilter("open", reason, since, until, order, topic, error)
    _require_choice(ids, all_, wanted)
    if dry_run:
        _say_chosen(ids, wanted, "discarded")
        return
    with _connected_to_write() as connection:
        chosen = ids or _open_ids(connection, wanted)
        resolver = Resolver(by or _user(connection), note)
        _report([resolve.discard(connection, chosen, resolver)], set(chosen), "discarded")


def _require_choice(ids: list[int] | None, all_: bool, wanted: LetterFilter) -> None:
    if bool(ids) == all_ or (wanted != LetterFilter() and not all_):
        raise typer.BadParameter("give either ids, or --all with or without filters")


def _say_chosen(ids: list[int] | None, wanted: LetterFilter, resolution: Resolution) -> None:
    """Says which letters a replay or a discarding would take. It changes nothing."""
    with _snapshot() as connection:
        chosen = ids or queries.open_ids(connection, wanted)
        letters = queries.status(connection, chosen)
    still_open = [letter for letter in letters if letter.resolution is None]
    for letter in still_open:
        output.text(rendering.status_line(letter, f"would be {resolution}"))
    output.note(f"would be {resolution}: {len(still_open)} of {len(set(chosen))}")
    if unknown := sorted(set(chosen) - {letter.dead_letter_id for letter in letters}):
        _exit_unknown(unknown)


def _say_none(wanted: LetterFilter) -> None:
    if wanted in (LetterFilter(), LetterFilter("any")):
        output.note("no dead letters" if wanted.state == "any" else "no open dead letters")
    else:
        output.note(
            "no dead letters match" if wanted.state == "any" else "no open dead letters match"
        )


def _snapshot() -> AbstractContextManager[Connection]:
    url = settings.load(settings.DatabaseSettings).database_url
    return database.snapshot(url, "delivery dead-letters")


def _connected_to_write() -> AbstractContextManager[Connection]:
    return resolve.connected(settings.load(settings.DatabaseSettings).database_url)


def _user(connection: Connection) -> str:
    """Who runs the command. A container's user may have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return connection.info.user


def _open_ids(connection: Connection, wanted: LetterFilter) -> list[int]:
    with database.transaction(connection):
        return queries.open_ids(connection, wanted)


def _table(connection: Connection, wanted: LetterFilter, limit: int) -> int:
    rows = list(queries.oldest_first(connection, wanted, limit + 1))
    if rows:
        names = ("id", "consumed_at", "reason", "order_id", "record", "resolution", "error")
        output.table(names, [_cells(row) for row in rows[:limit]])
    if len(rows) > limit:
        output.note(f"only the first {limit} are shown: see --limit, or --format json for all")
    return len(rows)


def _cells(row: queries.Row) -> tuple[object, ...]:
    record = "{record_topic}/{record_partition}/{record_offset}".format(**row)
    return (
        row["dead_letter_id"],
        row["consumed_at"],
        row["reason"],
        row["order_id"],
        record,
        row["resolution"],
        row["error"],
    )


def _report(
    portions: Iterable[list[LetterStatus]], wanted: set[int], resolution: Resolution
) -> None:
    """Prints what became of each letter. Exits with 1 unless all of them have `resolution`."""
    found: set[int] = set()
    resolved = 0
    try:
        for portion in portions:
            for letter in portion:
                output.text(rendering.status_line(letter))
            found.update(letter.dead_letter_id for letter in portion)
            resolved += sum(letter.resolution == resolution for letter in portion)
    finally:  # after a Ctrl-C or an outage too: so far it is committed
        output.note(f"{resolution}: {resolved} of {len(wanted)}")
    if unknown := sorted(wanted - found):
        _exit_unknown(unknown)
    if resolved < len(wanted):
        raise typer.Exit(SOME_REMAIN)


def _named(text: str) -> int | Coordinates:
    """What names a letter: its id, or its record's coordinates."""
    # Imported here, for other commands to start without the history's queries.
    from delivery.history import parse

    try:
        if "/" in text:
            return parse.coordinates(text)
        if text.isascii() and text.isdigit() and 1 <= int(text[:20]) <= LAST_ID:
            return int(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    raise typer.BadParameter(f"{text!r} is neither an ID nor TOPIC/PARTITION/OFFSET")


def _exit_unknown(ids: Sequence[object]) -> NoReturn:
    named = ", ".join(map(str, ids[:10]))
    output.note(f"delivery: there is no dead letter {named}: see `delivery dead-letters list`")
    raise typer.Exit(SOME_REMAIN)
