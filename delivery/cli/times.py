"""A time as an option of the command line, and the zone in which people read and write times."""

from datetime import datetime, tzinfo

import typer

from delivery import settings
from delivery.local_time import words
from delivery.settings import DisplaySettings


def zone() -> tzinfo:
    """DELIVERY_DISPLAY_TIMEZONE."""
    return settings.load(DisplaySettings).display_timezone


def parsed(text: str) -> datetime:
    """An option's parser: a time in that zone unless it names one, or a duration before now."""
    try:
        return words.read(text, zone())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
