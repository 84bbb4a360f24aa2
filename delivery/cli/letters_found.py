"""What the commands of `delivery dead-letters` have in common beside their options."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import NoReturn

import typer

from delivery import settings
from delivery.cli import output
from delivery.postgres import database
from delivery.postgres.database import Connection

SOME_REMAIN = 1  # exit code


def snapshot() -> AbstractContextManager[Connection]:
    """A connection that sees the letters of one moment, and changes nothing."""
    url = settings.load(settings.DatabaseSettings).database_url
    return database.snapshot(url, "delivery dead-letters")


def exit_unknown(ids: Sequence[object]) -> NoReturn:
    """Says which letters there are not, and ends with exit code 1."""
    named = ", ".join(map(str, ids[:10]))
    output.note(f"delivery: there is no dead letter {named}: see `delivery dead-letters list`")
    raise typer.Exit(SOME_REMAIN)
