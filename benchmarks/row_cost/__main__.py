"""The command line: see the package."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import commits
from benchmarks.row_cost import deliveries, log
from benchmarks.row_cost.server import database, fill, shared_folder
from benchmarks.row_cost.ways import CASES


def main(
    rows: Annotated[int, typer.Option(min=1)] = 1_000_000,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    url: Annotated[
        str | None, typer.Option(help="A server on this machine, instead of the embedded one.")
    ] = None,
    only: Annotated[str, typer.Option(help="'deliveries', or 'log'. [default: both]")] = "",
) -> None:
    """Prints tables of the log (ids that rise, random ids, large payloads) and of deliveries."""
    with tempfile.TemporaryDirectory() as folder, database(Path(folder), url) as ours:
        Path(folder).chmod(0o755)
        for case in CASES:
            fill(ours, case.ids, rows)
            with commits.connected(ours) as connection:
                if only != "deliveries":
                    log.report(connection, shared_folder(Path(folder)), case, rows, rounds)
                if only != "log" and case.payload == "payload":
                    deliveries.report(connection, rows)


typer.run(main)
