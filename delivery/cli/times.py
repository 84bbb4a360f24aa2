"""A time as an option of the command line."""

from datetime import datetime

import typer


def parsed(text: str) -> datetime:
    """An option's parser: ISO 8601 or a duration before now."""
    # Imported here, for other options to start without the history's queries.
    from delivery.history import parse

    try:
        return parse.time(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
