"""The command line of scripts/bench."""

import json
import signal
import sys
import time
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from benchmarks import environment, machine, report
from benchmarks.environment import Environment
from benchmarks.measures.growth import NoRoomError
from benchmarks.parts import PARTS, Part, Samples, UnknownPartError, chosen, save
from benchmarks.report import NothingMeasuredError
from benchmarks.sizes import FULL, QUICK

NOTHING = "nothing"
QUICK_MINUTES = 2


def main(
    quick: Annotated[
        bool, typer.Option("--quick", help="Tiny sizes: shows that all works, and no speed.")
    ] = False,
    only: Annotated[
        str,
        typer.Option(
            metavar="PART,...",
            help="Measure these parts (the beginning of a name is enough; 'nothing' for none) and "
            f"take what is in the folder of the others. Parts: {', '.join(p.name for p in PARTS)}.",
        ),
    ] = "",
    folder: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FOLDER",
            help="Where the report goes.  [default: bench-report, or bench-report-quick]",
        ),
    ] = None,
    postgres: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A setting of PostgreSQL beside its defaults."),
    ] = None,
    docs: Annotated[
        bool,
        typer.Option("--docs", help="Renew the figures of docs/benchmarks.md from the report."),
    ] = False,
) -> None:
    """Measure this service against the designs a team would otherwise pick.

    Each part's samples are written to FOLDER/parts as soon as they are there, so that parts can be
    measured one by one; at the end the report is put together from all that are there. A full run
    wants a machine that does nothing else, and 30 GB of free disk for the log with 20 million rows.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    folder = folder or Path("bench-report-quick" if quick else "bench-report")
    try:
        wanted = [] if only == NOTHING else chosen(only)
        if wanted:
            settings = dict(_setting(text) for text in postgres or ())
            _measure(folder, wanted, quick, settings)
        shown = report.write(folder)
        report.show(shown)
        if docs:
            report.write_docs(folder, shown)
    except (UnknownPartError, NothingMeasuredError, NoRoomError) as error:
        typer.echo(f"scripts/bench: {error}", err=True)
        sys.exit(2)
    _say(f"report: {folder / 'report.json'}")


def _setting(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE such as shared_buffers=4GB")
    return name, value


def _measure(folder: Path, wanted: list[Part], quick: bool, settings: Mapping[str, str]) -> None:
    minutes = QUICK_MINUTES if quick else sum(part.minutes for part in wanted)
    _say(f"{', '.join(part.name for part in wanted)}: about {minutes:.0f} minutes")
    folder.mkdir(parents=True, exist_ok=True)
    for postgres, parts in groupby(wanted, key=lambda part: part.postgres()):
        with environment.opened(
            {**({} if quick else postgres), **settings}, fast_start=quick
        ) as opened:
            facts = machine.description(opened)
            (folder / "machine.json").write_text(json.dumps(facts, indent=1) + "\n")
            for part in parts:
                _take(opened, folder, part, quick)


def _take(opened: Environment, folder: Path, part: Part, quick: bool) -> None:
    samples: Samples = []
    facts = {"quick": quick, "postgresql_settings": machine.postgresql_settings(opened)}
    begun = time.monotonic()
    _say(f"{part.name} ...")
    for sample in part.measure(opened, QUICK if quick else FULL):
        samples.append(sample)
        save(folder, part, samples, complete=False, **facts)
        _say(f"  {_line(sample)}")
    save(folder, part, samples, complete=True, **facts)
    _say(f"{part.name}: {(time.monotonic() - begun) / 60:.1f} minutes")


def _line(sample: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in sample.items() if value is not None)


_BEGUN = time.monotonic()


def _say(text: str) -> None:
    minutes, seconds = divmod(round(time.monotonic() - _BEGUN), 60)
    typer.echo(f"[{minutes:2}:{seconds:02}] {text}", err=True)


def _interrupt(number: int, _frame: object) -> NoReturn:
    """Everything that was started is ended on the way out, as at a Ctrl-C."""
    sys.exit(128 + number)


if __name__ == "__main__":
    typer.run(main)
