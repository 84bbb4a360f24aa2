"""`delivery check`"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

import typer

from delivery import check as checks
from delivery.check.line import Line
from delivery.cli import output

FAILED, OF_SETTINGS, OF_SERVICE = 1, 2, 3  # exit codes

_FIELDS = ("check", "result", "text", "todo")


def check(
    output_format: Annotated[
        Literal["table", "json"], typer.Option("--format", help="json is one object a line.")
    ] = "table",
) -> None:
    """Say whether a worker could run here, and what to do where not.

    Each line is ok, a warning or failed. It looks at the settings, also at
    variables that are none; at PostgreSQL's login, encoding, clock, schema and
    durability, whether it takes rows, and the role's rights; whether the events'
    zone fits the log; at Kafka's login, the topic with its partitions and
    replicas, the group, and the rights on both; with DELIVERY_ANNOUNCE_TOPIC at
    that topic, too. It changes nothing and joins no group. Run it with the
    settings that the workers have. Whether they do read, `delivery status` tells.

    \b
    Exit codes: 0 nothing failed (there may be warnings), 1 something failed,
    2 a setting or a login, 3 no service. Of several it is the first of 2, 3, 1.
    Examples:
      delivery check
      delivery check --format json | jq -r 'select(.result != "ok") | .todo'
    """
    found: list[Line] = []
    if output_format == "json":
        lines = _kept(checks.lines(), found)
        output.json_lines(dict(zip(_FIELDS, line, strict=False)) for line in lines)
    else:
        for line in _kept(checks.lines(), found):
            _show(line)
        output.text(_summary(found))
    if code := _exit_code(found):
        raise typer.Exit(code)


def _kept(lines: Iterable[Line], found: list[Line]) -> Iterator[Line]:
    for line in lines:
        found.append(line)
        yield line


def _show(line: Line) -> None:
    output.text(f"{line.result:<9}{line.check:<15} {line.text}")
    if line.todo:
        output.text(f"{'':<25}-> {line.todo}")


def _summary(found: list[Line]) -> str:
    results = [line.result for line in found]
    failed, warnings = results.count("failed"), results.count("warning")
    if not failed and not warnings:
        return "all is well"
    also = f", {warnings} warning{'' if warnings == 1 else 's'}" if warnings else ""
    return f"{failed or 'nothing'} failed{also}"


def _exit_code(found: list[Line]) -> int:
    causes = {line.cause for line in found if line.result == "failed"}
    by_cause = {"settings": OF_SETTINGS, "unreachable": OF_SERVICE, "other": FAILED}
    return next((code for cause, code in by_cause.items() if cause in causes), 0)
