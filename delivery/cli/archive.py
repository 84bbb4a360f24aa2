"""`delivery archive`"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from delivery import settings
from delivery.archive import folder, take
from delivery.cli import output
from delivery.cli.arguments import require_text
from delivery.domain import month
from delivery.domain.month import Month


def _before(text: str) -> Month:
    try:
        before = month.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    today = Month.of(datetime.now(UTC))
    if before > today:
        raise typer.BadParameter(
            f"the months before {before} are not over: {today} at the latest, which takes all "
            "months before this one"
        )
    return before


def archive(
    before: Annotated[
        Month,
        typer.Option(
            parser=_before, metavar="YYYY-MM", help="Of events before this month, in UTC."
        ),
    ],
    to: Annotated[
        str,
        typer.Option(
            metavar="DIR", callback=require_text, help="The folder that the files are written to."
        ),
    ],
) -> None:
    """Take whole months out of the log, each into a file.

    A month is that of the events' times, in UTC. Its rows of processed_events
    go to DIR/processed_events-YYYY-MM.csv.zst, with a manifest beside it
    (.json): rows, offsets, SHA-256. The file is read back; then one transaction
    makes sure that the log holds the same still, notes what is archived, and
    drops the month's partition. Interrupted anywhere, nothing is lost: run it
    again. Events of a month that come later stay in the log; the next run
    writes them to a second file (.part2).

    Deliveries, duplicates and dead letters stay, and the offsets of the archived
    records: a record that is consumed again is recognised, and writes nothing.
    Run it as the owner of the tables, once all workers are of this version.
    `delivery history --archive FILE` reads a file; docs/archive.md says how to
    restore one.

    \b
    Exit codes: 0 done, also where nothing is left to do, 1 events of a month go
    on arriving, 2 settings or rights, 3 no service, no lock or no space.
    Example:
      delivery archive --before 2025-01 --to /srv/archive
    """
    url = settings.load(settings.DatabaseSettings).database_url
    found = take.months(url, before)
    if not found:
        output.note(f"nothing to do: the log has no events before {before}")
        return
    with folder.opened(Path(to)) as directory:
        for one in found:
            if (archived := take.take(url, one, directory, output.note)) is not None:
                output.text(f"{one}: {archived.rows} events in {archived.path}")
