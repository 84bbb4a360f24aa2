"""`delivery dead-letters`"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated, Literal, NoReturn

import typer

from delivery import settings
from delivery.cli import output
from delivery.dead_letters import advice, queries, resolve
from delivery.dead_letters.queries import LetterStatus
from delivery.domain.event import Contract
from delivery.domain.vocabulary import Reason, Resolution
from delivery.postgres import database
from delivery.postgres.database import Connection

SOME_REMAIN = 1  # exit code
TABLE_LIMIT = 100
RIGHT = timedelta(seconds=45)  # so long a transaction may last; replaying a portion takes far less

dead_letters = typer.Typer(
    help="Look at rejected records, replay them, or discard them.",
    no_args_is_help=True,
    add_completion=False,
)

Ids = Annotated[list[int], typer.Argument(metavar="ID...", min=1, max=2**63 - 1)]
TableOrJson = Annotated[
    Literal["table", "json"], typer.Option("--format", help="json is one object a line.")
]
OfReason = Annotated[
    Reason | None, typer.Option("--reason", help="Only the letters of this reason.")
]


@dead_letters.command("list")
def list_(
    reason: OfReason = None,
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
    form: TableOrJson = "table",
) -> None:
    """List the letters that nobody has resolved, the oldest first."""
    with _connected() as connection:
        if form == "json":
            rows = queries.listed(connection, reason, resolved_too, limit)
            count = output.json_lines(dict(zip(queries.COLUMNS, row, strict=True)) for row in rows)
        else:
            count = _table(connection, reason, resolved_too, limit or TABLE_LIMIT)
    if not count:
        output.note("no dead letters" if resolved_too else "no open dead letters")


@dead_letters.command()
def show(
    dead_letter_id: Annotated[int, typer.Argument(metavar="ID", min=1, max=2**63 - 1)],
    form: TableOrJson = "table",
) -> None:
    """Show one letter whole: the record as it came, what is wrong, and what to do about it.

    Key, value and headers are shown as text where they are text, in hexadecimal otherwise.
    They may hold personal data.
    """
    with _connected() as connection:
        letters = queries.find(connection, [dead_letter_id])
    if not letters:
        _unknown([dead_letter_id])
    if form == "json":
        output.json_lines(map(advice.told, letters))
    else:
        typer.echo("\n".join(advice.lines(letters[0])))


@dead_letters.command()
def replay(
    ids: Annotated[list[int] | None, typer.Argument(metavar="ID...", min=1, max=2**63 - 1)] = None,
    all_: Annotated[bool, typer.Option("--all", help="All that nobody has resolved.")] = False,
    reason: OfReason = None,
) -> None:
    """Process the records of letters again, as the worker would.

    What is accepted now is marked as replayed in the transaction that processes it. What is
    rejected again stays, with its new error, and the exit code is 1. Replaying twice changes
    nothing more. Set what the workers have set, DELIVERY_EVENT_TIMEZONE above all: it decides
    which time an event has.

    \b
    Examples:
      delivery dead-letters replay 7 12
      delivery dead-letters replay --all --reason refused_by_database
    """
    if bool(ids) == all_ or (reason and not all_):
        raise typer.BadParameter("give either ids, or --all with or without --reason")
    how = settings.load(settings.WorkerSettings)
    contract = Contract(how.event_timezone, how.max_future_skew)
    with _connected_to_write() as connection:
        wanted = ids or queries.open_ids(connection, reason)
        _say(resolve.replay(connection, contract, wanted), set(wanted), "replayed")


@dead_letters.command()
def discard(
    ids: Ids,
    note: Annotated[str, typer.Option(metavar="TEXT", help="Why. It is kept with the letter.")],
) -> None:
    """Mark letters as not to be processed, ever. Discarding twice changes nothing more."""
    if not note.strip():
        raise typer.BadParameter("--note needs a text that says why")
    with _connected_to_write() as connection:
        resolve.discard(connection, ids, note)
        _say([queries.status(connection, ids)], set(ids), "discarded")


@contextmanager
def _connected() -> Iterator[Connection]:
    url = settings.load(settings.DatabaseSettings).database_url
    with database.connect(url, "delivery dead-letters") as connection:
        database.require_migrated(connection)
        yield connection


@contextmanager
def _connected_to_write() -> Iterator[Connection]:
    """A worker's session, for the same reason: this process may be stopped in a transaction."""
    url = settings.load(settings.DatabaseSettings).database_url
    session = database.Session(url, RIGHT)
    try:
        database.require_migrated(session.connection())
        yield session.connection()
    finally:
        session.drop()


def _table(connection: Connection, reason: Reason | None, resolved_too: bool, limit: int) -> int:
    rows = list(queries.listed(connection, reason, resolved_too, limit + 1))
    shown = [
        (number, at, why, order, f"{topic}/{partition}/{offset}", resolution, error)
        for number, at, why, order, topic, partition, offset, _, error, _, resolution, _ in rows
    ]
    if shown:
        names = ("id", "consumed_at", "reason", "order_id", "record", "resolution", "error")
        output.table(names, shown[:limit])
    if len(rows) > limit:
        output.note(f"only the first {limit} are shown: see --limit, or --format json for all")
    return len(rows)


def _say(standings: Iterable[list[LetterStatus]], wanted: set[int], resolution: Resolution) -> None:
    """Says of each letter how it stands; ends with 1 unless all the wanted ones stand so."""
    found: set[int] = set()
    resolved = 0
    try:
        for portion in standings:
            for letter in portion:
                typer.echo(advice.became(letter))
            found.update(letter.dead_letter_id for letter in portion)
            resolved += sum(letter.resolution == resolution for letter in portion)
    finally:  # after a Ctrl-C or an outage too: so far it is committed
        output.note(f"{resolution}: {resolved} of {len(wanted)}")
    if unknown := sorted(wanted - found):
        _unknown(unknown)
    if resolved < len(wanted):
        raise typer.Exit(SOME_REMAIN)


def _unknown(ids: list[int]) -> NoReturn:
    named = ", ".join(map(str, ids[:10]))
    output.note(f"delivery: there is no dead letter {named}: see `delivery dead-letters list`")
    raise typer.Exit(SOME_REMAIN)
