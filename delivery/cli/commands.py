"""The commands by name. The one that runs is imported, and no other: a worker starts faster."""

import os
from importlib import import_module
from keyword import iskeyword
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from delivery import __version__, interrupt

# In the order of `delivery --help`, with the first paragraph of each command's own help. Each is
# the name of a module here, and of what it holds.
COMMANDS = {
    "worker": "Consume records until SIGTERM or SIGINT.",
    "status": "Say whether records are consumed, and what is wrong.",
    "check": "Say whether a worker could run here, and what to do where not.",
    "history": "Show what became of records, in the order of their arrival.",
    "dead-letters": "Look at rejected records, replay them, or discard them.",
    "stats": "Count records by outcome, deliveries, and open dead letters.",
    "verify": "Prove the database against the guarantee and the topic.",
    "rewind": "Read again what the log lacks below the committed offsets.",
    "import": "Take over what the service before knew of orders.",
    "announce": "Announce created deliveries to DELIVERY_ANNOUNCE_TOPIC.",
    "archive": "Take whole months out of the log, each into a file.",
    "erase": "Replace personal data in the log by a mark.",
    "serve": "Serve the history as web pages and as an HTTP API.",
    "migrate": "Bring the database's schema to this version's revision.",
    "downgrade": "Take the database's schema back to an earlier revision.",
    "publish": "Publish each line of a file as one record.",
    "schema": "Print the contract of a record's value as JSON Schema.",
    "dev": "Run a PostgreSQL and a Kafka until Ctrl-C.",
    "quickstart": "See order events become deliveries, from an empty machine.",
}


class LazyGroup(TyperGroup):
    """A group that imports a command when it is called. `--help` shows the summaries alone."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and load(name or ""), rest


command_line = typer.Typer(
    cls=LazyGroup,
    help="Turns each OrderCreateEvent from Kafka into exactly one delivery, and keeps a log "
    "of every record.",
    epilog="Exit codes: 0 done, 1 the answer is no, 2 usage or settings, 3 a service can't be "
    "reached. Results go to stdout, everything else to stderr.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},  # of the commands, too
    pretty_exceptions_enable=False,
)
for _name, _summary in COMMANDS.items():
    command_line.command(_name, help=_summary)(lambda: None)


def load(name: str) -> Any:
    """The command of this name, imported, as typer runs it."""
    attribute = name.replace("-", "_")
    if iskeyword(attribute):
        attribute += "_"
    command = getattr(import_module(f"delivery.cli.{attribute}"), attribute)
    interrupt.raise_again()
    if isinstance(command, typer.Typer):
        return get_command(command)
    alone = typer.Typer(add_completion=False)
    alone.command(name)(command)
    return get_command(alone)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"delivery {__version__}")
        raise typer.Exit


@command_line.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """The options of `delivery` itself."""
    if any(name.upper().startswith("DELIVERY_") for name in os.environ):
        from delivery.cli import unknown_settings  # imports pydantic, as all commands do

        unknown_settings.warn(context.invoked_subcommand or "")
