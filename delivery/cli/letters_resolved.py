"""`delivery dead-letters replay` and `discard`: letters are resolved, or it is said which."""

import getpass
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Annotated

import typer

from delivery import settings
from delivery.cli import letters_found, output
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
    WithText,
)
from delivery.dead_letters import queries, rendering, resolve
from delivery.dead_letters.letter import LetterFilter, LetterStatus
from delivery.domain.event import Contract
from delivery.domain.vocabulary import Resolution
from delivery.inbox.dead_letters import Resolver
from delivery.postgres import database
from delivery.postgres.database import Connection

Ids = Annotated[list[int] | None, typer.Argument(metavar="ID...", min=1, max=LAST_ID)]
All = Annotated[bool, typer.Option("--all", help="All that nobody has resolved.")]


def replay(
    ids: Ids = None,
    all_: All = False,
    reason: OfReason = None,
    since: Since = None,
    until: Until = None,
    order: OfOrder = None,
    topic: OfTopic = None,
    error: WithError = None,
    text: WithText = None,
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
    wanted = LetterFilter("open", reason, since, until, order, topic, error, text)
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
    text: WithText = None,
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
    wanted = LetterFilter("open", reason, since, until, order, topic, error, text)
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
    with letters_found.snapshot() as connection:
        chosen = ids or queries.open_ids(connection, wanted)
        letters = queries.status(connection, chosen)
    still_open = [letter for letter in letters if letter.resolution is None]
    for letter in still_open:
        output.text(rendering.status_line(letter, f"would be {resolution}"))
    output.note(f"would be {resolution}: {len(still_open)} of {len(set(chosen))}")
    if unknown := sorted(set(chosen) - {letter.dead_letter_id for letter in letters}):
        letters_found.exit_unknown(unknown)


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
        letters_found.exit_unknown(unknown)
    if resolved < len(wanted):
        raise typer.Exit(letters_found.SOME_REMAIN)
