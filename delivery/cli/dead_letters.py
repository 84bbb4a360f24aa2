"""`delivery dead-letters`"""

import typer

from delivery.cli import letters_looked_at, letters_resolved

dead_letters = typer.Typer(
    help="Look at rejected records, replay them, or discard them.",
    no_args_is_help=True,
    add_completion=False,
)
dead_letters.command("list")(letters_looked_at.list_)
dead_letters.command()(letters_looked_at.groups)
dead_letters.command()(letters_looked_at.show)
dead_letters.command()(letters_resolved.replay)
dead_letters.command()(letters_resolved.discard)
