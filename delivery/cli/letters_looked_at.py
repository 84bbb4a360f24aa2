"""`delivery dead-letters list`, `groups` and `show`: they change nothing."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import typer

from delivery.cli import letters_found, output
from delivery.cli.arguments import LAST_ID
from delivery.cli.letter_options import (
    OfOrder,
    OfReason,
    OfTopic,
    Since,
    Until,
    WithError,
    WithText,
)
from delivery.dead_letters import groups as causes
from delivery.dead_letters import queries, rendering
from delivery.dead_letters.letter import DeadLetter, LetterFilter, State
from delivery.domain.record import Coordinates
from delivery.postgres.database import Connection
from delivery.web import masking

TABLE_LIMIT = 100

# Of a listed letter, for programs. New ones come last.
COLUMNS = (
    "dead_letter_id",
    "consumed_at",
    "reason",
    "order_id",
    "record_topic",
    "record_partition",
    "record_offset",
    "record_time",
    "error",
    "resolved_at",
    "resolution",
    "resolution_note",
    "resolved_by",
    "record_key",
    "record_value",
    "record_headers",
    "erasure_id",
)

TableOrJson = Annotated[
    Literal["table", "json"], typer.Option("--format", help="json is one object a line.")
]


def list_(
    reason: OfReason = None,
    since: Since = None,
    until: Until = None,
    order: OfOrder = None,
    topic: OfTopic = None,
    error: WithError = None,
    text: WithText = None,
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
    output_format: Annotated[
        output.Format,
        typer.Option(
            "--format", help="json is one object a line; json and csv have key, value and headers."
        ),
    ] = "table",
    show_personal_data: Annotated[
        bool,
        typer.Option(
            "--show-personal-data", help="With json and csv: key, value and headers unmasked."
        ),
    ] = False,
) -> None:
    """List the letters that nobody has resolved, the oldest first.

    Key, value and headers may hold personal data: json and csv have a mask in their place unless
    they are asked for, and then what is no text in hexadecimal, as in `show`.

    A TIME is 15min, 2h or 7d before now, 10:00, today, yesterday 18:30, or
    ISO 8601 such as 2026-11-23T10:00. It may name a zone (KST, +09:00,
    Asia/Seoul); without one it is read in DELIVERY_DISPLAY_TIMEZONE, UTC unless
    that is set, in which times are shown, too. Where several filters are given, all must hold.
    """
    if show_personal_data and output_format == "table":
        raise typer.BadParameter("--show-personal-data needs --format json or csv")
    state: State = "any" if resolved_too else "open"
    wanted = LetterFilter(state, reason, since, until, order, topic, error, text)
    with letters_found.snapshot() as connection:
        if output_format == "table":
            count = _table(connection, wanted, limit or TABLE_LIMIT)
        else:
            size = queries.WHOLE if show_personal_data else 0
            letters = queries.oldest_first(connection, wanted, limit, beginning_bytes=size)
            count = _write(map(rendering.members, letters), output_format, show_personal_data)
    if not count:
        _say_none(wanted)


def groups(
    reason: OfReason = None,
    since: Since = None,
    until: Until = None,
    order: OfOrder = None,
    topic: OfTopic = None,
    error: WithError = None,
    text: WithText = None,
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
    wanted = LetterFilter(state, reason, since, until, order, topic, error, text)
    with letters_found.snapshot() as connection:
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
    with letters_found.snapshot() as connection:
        ids = [wanted] if isinstance(wanted, int) else queries.ids_at(connection, wanted)
        letters = queries.find(connection, ids)
    if not letters:
        letters_found.exit_unknown([wanted if isinstance(wanted, int) else letter])
    if output_format == "json":
        output.json_lines(map(rendering.members, letters))
    else:
        output.text("\n\n".join("\n".join(rendering.lines(found)) for found in letters))


def _say_none(wanted: LetterFilter) -> None:
    if wanted in (LetterFilter(), LetterFilter("any")):
        output.note("no dead letters" if wanted.state == "any" else "no open dead letters")
    else:
        output.note(
            "no dead letters match" if wanted.state == "any" else "no open dead letters match"
        )


def _table(connection: Connection, wanted: LetterFilter, limit: int) -> int:
    rows = list(queries.oldest_first(connection, wanted, limit + 1, beginning_bytes=0))
    if rows:
        names = ("id", "consumed_at", "reason", "order_id", "record", "resolution", "error")
        output.table(names, [_cells(row) for row in rows[:limit]])
    if len(rows) > limit:
        output.note(f"only the first {limit} are shown: see --limit, or --format json for all")
    return len(rows)


def _cells(letter: DeadLetter) -> tuple[object, ...]:
    return (
        letter.dead_letter_id,
        letter.consumed_at,
        letter.reason,
        letter.order_id,
        "/".join(map(str, letter.record.coordinates)),
        letter.resolution,
        letter.error,
    )


def _write(
    letters: Iterable[dict[str, Any]],
    output_format: Literal["json", "csv"],
    show_personal_data: bool,
) -> int:
    if not show_personal_data:
        letters = map(masking.masked_record, letters)
    rows = ({name: letter[name] for name in COLUMNS} for letter in letters)
    if output_format == "json":
        return output.json_lines(rows)
    return output.csv_lines(COLUMNS, (list(row.values()) for row in rows))


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
