"""A time as an option of the command line."""

from datetime import datetime

import typer

from delivery.history import parse


def parsed(text: str) -> datetime:
    """An option's parser: ISO 8601 or a duration before now."""
    try:
        return parse.time(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
