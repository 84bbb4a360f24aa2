"""The options by which `delivery dead-letters` chooses letters: the same ones for each command."""

from datetime import datetime
from typing import Annotated

import typer

from delivery.cli import times
from delivery.cli.arguments import LAST_ID, require_text
from delivery.domain.vocabulary import Reason

OfReason = Annotated[
    Reason | None, typer.Option("--reason", help="Only the letters of this reason.")
]
Since = Annotated[
    datetime | None,
    typer.Option("--since", parser=times.parsed, metavar="TIME", help="Arrived then or later."),
]
Until = Annotated[
    datetime | None,
    typer.Option("--until", parser=times.parsed, metavar="TIME", help="Arrived before then."),
]
OfOrder = Annotated[
    int | None,
    typer.Option("--order", metavar="ORDER_ID", min=1, max=LAST_ID, help="Only of this order."),
]
OfTopic = Annotated[
    str | None,
    typer.Option("--topic", callback=require_text, metavar="TOPIC", help="Only of this topic."),
]
WithError = Annotated[
    str | None,
    typer.Option(
        "--error",
        callback=require_text,
        metavar="TEXT",
        help="The error contains this, in capitals or not; an N may stand for any number, as in "
        "`groups`.",
    ),
]
WithText = Annotated[
    str | None,
    typer.Option(
        "--text",
        callback=require_text,
        metavar="TEXT",
        help="The record's key or value contains this, with the same capitals. Reads each letter: "
        "0.3 s for a million.",
    ),
]
By = Annotated[
    str | None,
    typer.Option(
        "--by",
        callback=require_text,
        metavar="NAME",
        help="Who resolves them. Default: the user of this machine, or that of the database.",
    ),
]
_NOTE = typer.Option(
    "--note", callback=require_text, metavar="TEXT", help="Why. It is kept with the letter."
)
Note = Annotated[str, _NOTE]
NoteIfAny = Annotated[str | None, _NOTE]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say which open letters it would be.")]
