"""The report: a table on stdout, report.json, charts, and the figures in docs/benchmarks.md."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks import charts, figures, parts
from benchmarks.figures import Figures

DOCS = Path(__file__).parent.parent / "docs" / "benchmarks.md"

# What lies between them in the document is replaced, the words around it are people's.
BEGIN, END = "<!-- figures: begin, made by scripts/bench --docs -->", "<!-- figures: end -->"


class NothingMeasuredError(Exception):
    """There is no part to report of, or none that says anything of speed."""


def write(folder: Path) -> list[Figures]:
    """Makes report.json and the charts of the parts in the folder. Raises NothingMeasuredError."""
    measured = parts.load(folder)
    if not measured:
        raise NothingMeasuredError(f"nothing is measured in {folder} yet")
    shown = figures.of(measured)
    machine = json.loads((folder / "machine.json").read_text())
    (folder / "report.json").write_text(_json(machine, measured))
    charts.draw(measured, folder)
    return shown


def _json(machine: Mapping[str, Any], measured: Mapping[str, Mapping[str, Any]]) -> str:
    """A line for each sample, so that a difference between two reports can be read."""
    lines = [f'{{"machine": {json.dumps(machine)},', '"parts": {']
    for name, part in measured.items():
        about = {key: value for key, value in part.items() if key != "samples"}
        lines.append(f'"{name}": {json.dumps(about)[:-1]}, "samples": [')
        lines.append(",\n".join(map(json.dumps, part["samples"])))
        lines.append("]}" if name == list(measured)[-1] else "]},")
    return "\n".join([*lines, "}}", ""])


def show(shown: list[Figures]) -> None:
    """Prints the tables on stdout."""
    console = Console()
    for one in shown:
        table = Table(title=one.title, caption=escape(one.note), title_justify="left")
        for number, column in enumerate(one.columns):
            table.add_column(escape(column), justify="left" if number == 0 else "right")
        for row in one.rows:
            table.add_row(*map(escape, row))
        console.print(table)


def write_docs(folder: Path, shown: list[Figures], docs: Path = DOCS) -> None:
    """Replaces the figures in the document, and lays report.json and the charts beside it.

    Raises NothingMeasuredError where a part is of a quick run.
    """
    if any(part["quick"] for part in parts.load(folder).values()):
        raise NothingMeasuredError(f"{folder} is of a quick run, which says nothing of speed")
    beside = docs.with_suffix("")
    beside.mkdir(exist_ok=True)
    for chart in (one.chart for one in shown if one.chart):
        shutil.copyfile(folder / f"{chart}.png", beside / f"{chart}.png")
    shutil.copyfile(folder / "report.json", beside / "report.json")
    docs.write_text(renewed(docs.read_text(), json.loads((folder / "report.json").read_text())))


def renewed(document: str, report: Mapping[str, Any]) -> str:
    """The document with the figures of this report."""
    tables = (_markdown(one, DOCS.stem) for one in figures.of(report["parts"]))
    made = "\n\n".join([_machine(report), *tables])
    between = re.compile(f"(?<={re.escape(BEGIN)}\n).*(?={re.escape(END)})", re.DOTALL)
    return between.sub(lambda _: f"\n{made}\n\n", document)


def _markdown(one: Figures, folder: str) -> str:
    chart = f"\n\n![{one.title}]({folder}/{one.chart}.png)" if one.chart else ""
    lines = [f"| {' | '.join(row)} |" for row in (one.columns, *one.rows)]
    rule = f"|---|{'---:|' * (len(one.columns) - 1)}"
    table = "\n".join(["", "", lines[0], rule, *lines[1:]]) if one.rows else ""
    return f"### {one.title}\n\n{one.note}{table}{chart}"


def _machine(report: Mapping[str, Any]) -> str:
    machine = report["machine"]
    libraries = ", ".join(f"{name} {number}" for name, number in machine["libraries"].items())
    days = sorted({part["measured_at"][:10] for part in report["parts"].values()})
    wanting = [name for name, part in report["parts"].items() if not part["complete"]]
    wanting += [part.name for part in parts.PARTS if part.name not in report["parts"]]
    return "\n".join(
        [
            "| measured | |",
            "|---|---|",
            f"| on | {' to '.join(dict.fromkeys([days[0], days[-1]]))} |",
            f"| processor | {machine['processor']}, {machine['cores']} cores |",
            f"| memory | {machine['memory_gib']} GiB |",
            f"| system | {machine['system']} |",
            f"| servers | PostgreSQL {machine['postgresql']}, Apache Kafka {machine['kafka']}, "
            f"Redis {machine['redis']}, all beside the contenders |",
            f"| PostgreSQL's settings | {_settings(report['parts'])} |",
            f"| software | {machine['python']}, {libraries} |",
            *([f"| parts not measured to their end | {', '.join(wanting)} |"] if wanting else []),
        ]
    )


def _settings(measured: Mapping[str, Mapping[str, Any]]) -> str:
    """Those of the first part, and what is different in others."""
    of_parts = {name: part["postgresql_settings"] for name, part in measured.items()}
    first = next(iter(of_parts.values()))
    shown = {"": ", ".join(f"{name} {value}" for name, value in first.items())}
    for part, settings in of_parts.items():
        other = ", ".join(f"{k} {v}" for k, v in settings.items() if v != first.get(k))
        if other:
            shown[part] = f"in {part}: {other}"
    return "; ".join(shown.values())
