"""Bounds and checks of arguments that several commands share."""

import typer

LAST_ID = 2**63 - 1  # of an order or a dead letter


def require_text(value: str | None) -> str | None:
    """An option's callback. Refuses bytes that are no UTF-8: nobody could store or send them."""
    try:
        (value or "").encode()
    except UnicodeEncodeError:
        raise typer.BadParameter(f"{value!r} is not text in UTF-8") from None
    return value
