"""`delivery erase`"""

from collections.abc import Iterable
from typing import Annotated

import typer

from delivery import settings
from delivery.cli import output
from delivery.cli.arguments import LAST_ID, require_text
from delivery.domain.vocabulary import Criterion
from delivery.erasure import search
from delivery.erasure.erase import SETTINGS, Counts, Erasure
from delivery.erasure.search import Found
from delivery.postgres import database, distributed
from delivery.postgres.database import Connection

DRY_RUN = "a dry run"  # a reason for rows that are rolled back

BEYOND = (
    "Kafka's topics, backups, archives, WAL and the freed space of the files have it still: see "
    "docs/erasure.md"
)


def erase(
    more: Annotated[
        list[int] | None,
        typer.Argument(
            metavar="ID", min=1, max=LAST_ID, help="More ids, of --order or --dead-letter."
        ),
    ] = None,
    ordered_by: Annotated[
        int | None,
        typer.Option(
            metavar="ID", min=-LAST_ID - 1, max=LAST_ID, help="All that this customer ordered."
        ),
    ] = None,
    order: Annotated[
        list[int] | None, typer.Option(metavar="ID", min=1, max=LAST_ID, help="These orders.")
    ] = None,
    dead_letter: Annotated[
        list[int] | None,
        typer.Option(
            metavar="ID",
            min=1,
            max=LAST_ID,
            help="These dead letters, where nobody can read whose they are.",
        ),
    ] = None,
    reason: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            callback=require_text,
            help="Why, such as the number of a request. It is kept for ever: no personal data.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count the rows, and change nothing.")
    ] = False,
) -> None:
    """Replace personal data in the log by a mark.

    Payloads, ids of customer and companies, the request message, and of dead
    letters key, value, headers and error. Order id, times, outcome and
    coordinates stay, and an erased event that is delivered again is recognised
    and brings nothing back. A newer event of an erased order is processed as any
    other.

    The table `erasures` says who erased, when, why, and how many rows; not whose
    data it was. It needs the role of `delivery migrate --erasure-role`. Erase
    while all workers are of this version. Erasing twice changes nothing more.

    \b
    Examples:
      delivery erase --ordered-by 4711 --dry-run
      delivery erase --ordered-by 4711 --reason "request 2026-117"
      delivery erase --order 1001 --order 1002 --reason "request 2026-118"
    """
    criterion = _criterion(ordered_by, order, dead_letter, more)
    if not dry_run and not (reason or "").strip():
        raise typer.BadParameter("--reason needs a text that says why")
    erasure = Erasure(criterion, reason or DRY_RUN, dry_run)
    url = settings.load(settings.DatabaseSettings).database_url
    with database.connect(url, "delivery erase", SETTINGS) as connection:
        database.require_migrated(connection)
        distributed.require_erasable(connection)
        found = _found(connection, ordered_by, order, dead_letter, more or [])
        _report(erasure.erase(connection, *found), dry_run)


def _criterion(
    ordered_by: int | None,
    orders: list[int] | None,
    letters: list[int] | None,
    more: list[int] | None,
) -> Criterion:
    given: dict[Criterion, bool] = {
        "ordered_by": ordered_by is not None,
        "order": bool(orders),
        "dead_letter": bool(letters),
    }
    criteria = [criterion for criterion, is_given in given.items() if is_given]
    if len(criteria) != 1 or (more and criteria == ["ordered_by"]):
        raise typer.BadParameter(
            "give one of --ordered-by ID, --order ID... or --dead-letter ID..."
        )
    return criteria[0]


def _found(
    connection: Connection,
    ordered_by: int | None,
    orders: list[int] | None,
    letters: list[int] | None,
    more: list[int],
) -> Found:
    if ordered_by is not None:
        return search.of_customer(connection, ordered_by)
    if orders:
        return search.of_orders(connection, {*orders, *more})
    return Found([], sorted({*(letters or []), *more}))


def _report(portions: Iterable[Counts], is_dry_run: bool) -> None:
    """Prints how many rows of each table were erased, also after a Ctrl-C or an outage."""
    total = Counts()
    try:
        for portion in portions:
            total = total.plus(portion)
    finally:
        verb = "would be erased" if is_dry_run else "erased"
        output.table(["table", verb], [*total._asdict().items()])
    if not any(total):
        output.note("nothing to erase: there is no such row, or it is erased already")
    elif not is_dry_run:
        output.note(BEYOND)
