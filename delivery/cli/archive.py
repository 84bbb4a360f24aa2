"""`delivery archive`"""

import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr

from delivery import settings
from delivery.archive import folder, stream, take
from delivery.cli import output
from delivery.cli.arguments import require_text
from delivery.domain import month
from delivery.domain.month import Month
from delivery.errors import SettingsError


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


def _sha256(value: str | None) -> str | None:
    if value is not None and not re.fullmatch("[0-9a-fA-F]{64}", value):
        raise typer.BadParameter(f"{value!r} is not a SHA-256: 64 hexadecimal digits")
    return value


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
            metavar="DIR|-",
            callback=require_text,
            help="The folder that the files are written to, or stdout: the oldest month only.",
        ),
    ],
    confirm: Annotated[
        str | None,
        typer.Option(
            metavar="SHA256",
            callback=_sha256,
            help="With --to -: take that month out of the log, as it is stored with this SHA-256.",
        ),
    ] = None,
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

    With --to - the oldest of these months goes to stdout, and nothing leaves the
    log: nobody here can read back what became of it. The same command with
    --confirm and the SHA-256 of what you stored takes the month out.

    \b
    Exit codes: 0 done, also where nothing is left to do, 1 events of a month go
    on arriving, or the log is not what --confirm says, 2 settings or rights,
    3 no service, no lock or no space.
    Examples:
      delivery archive --before 2025-01 --to /srv/archive
      delivery archive --before 2025-01 --to - > oldest.csv.zst
      delivery archive --before 2025-01 --to - --confirm $(sha256sum < oldest.csv.zst | cut -c-64)
    """
    if confirm and to != "-":
        raise SettingsError("--confirm goes with --to -: what is in a folder is read back there")
    url = settings.load(settings.DatabaseSettings).database_url
    found = take.months(url, before, output.note)
    if not found:
        output.note(f"nothing to do: the log has no events before {before}")
        return
    if to == "-":
        _stream(url, found[0], before, confirm)
        return
    with folder.opened(Path(to)) as directory:
        for one in found:
            if (archived := take.take(url, one, directory, output.note)) is not None:
                output.text(f"{one}: {archived.rows} events in {archived.path}")


def _stream(url: SecretStr, month: Month, before: Month, confirm: str | None) -> None:
    if confirm is not None:
        with Path(os.devnull).open("wb") as nowhere:
            archived = stream.confirm(url, month, confirm, nowhere, output.note)
        output.text(f"{month}: {archived.rows} events, stored as {confirm.lower()}")
        return
    if sys.stdout.isatty():
        raise SettingsError("--to - writes a compressed file: send it somewhere else than a screen")
    content = stream.write(url, month, sys.stdout.buffer)
    output.note(
        f"{month}: {content.fingerprint.rows} events, which are in the log still. Once they are "
        f"stored: delivery archive --before {before} --to - --confirm {content.written.file.sha256}"
    )
