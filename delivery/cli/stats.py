"""`delivery stats`"""

from dataclasses import asdict
from typing import Annotated, Literal

import typer

from delivery import settings
from delivery.cli import output
from delivery.history import stats as counts
from delivery.history.stats import Stats
from delivery.postgres import database


def stats(
    form: Annotated[
        Literal["table", "json"], typer.Option("--format", help="json is one object on one line.")
    ] = "table",
) -> None:
    """Count records by outcome, deliveries, and open dead letters.

    Deliveries are counted by status, dead letters by reason. It reads the whole
    log: about half a second for each million records.

    \b
    Examples:
      delivery stats
      delivery stats --format json | jq .outcomes.conflict
    """
    url = settings.load(settings.DatabaseSettings).database_url
    with database.snapshot(url, "delivery stats") as connection:
        counted = counts.count(connection)
    if form == "json":
        output.json_lines([asdict(counted)])
    else:
        _tables(counted)
    if counted.last_consumed_at is None:
        output.note(
            "the log is empty: `delivery worker` fills it with the records of the topic, "
            "`delivery publish` sends some"
        )


def _tables(counted: Stats) -> None:
    output.table(("outcome", "records"), list(counted.outcomes.items()))
    typer.echo()
    output.table(("status", "deliveries"), list(counted.deliveries.items()))
    typer.echo()
    letters = counted.dead_letters
    output.table(
        ("open dead letters", "records"),
        [*((reason, n) for reason, n in letters.by_reason.items() if n), ("all", letters.open)],
    )
    typer.echo()
    output.table(
        ("first consumed_at", "last consumed_at"),
        [(counted.first_consumed_at, counted.last_consumed_at)],
    )
