"""The command line. It wires settings, servers and functions together, and decides nothing."""

import logging
import os
import sys
from importlib import import_module
from typing import Annotated

import typer

from delivery import __version__, errors

DONE, NO, USAGE, UNREACHABLE = 0, 1, 2, 3
INTERRUPTED = 130  # as a shell reports SIGINT

_EXIT_CODES: dict[type[Exception], int] = {
    errors.SettingsError: USAGE,
    errors.NotMigratedError: USAGE,
    errors.ForbiddenError: USAGE,
    errors.FloodError: NO,
    errors.RaceError: NO,
    errors.UnavailableError: UNREACHABLE,
    errors.FencedError: UNREACHABLE,
    errors.EmbeddedUnavailableError: UNREACHABLE,
}

# In the order of `delivery --help`. Each is the name of a module here, and of what it holds.
COMMANDS = (
    "worker",
    "history",
    "dead-letters",
    "stats",
    "verify",
    "serve",
    "migrate",
    "publish",
    "schema",
    "dev",
    "quickstart",
)


def main() -> None:
    """The entry point: every error is one line on stderr and a documented exit code."""
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)  # its exceptions say the same
    sys.exit(run())


def run() -> int:
    """Runs the command of `sys.argv` and returns its exit code."""
    try:
        app = _app(sys.argv[1] if len(sys.argv) > 1 else "")
        return int(app(standalone_mode=False, prog_name="delivery") or DONE)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "delivery"
        message = error.format_message()  # none where the help was shown instead
        return _complain(f"{message} (see `{command} --help`)", USAGE) if message else USAGE
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except SystemExit as error:  # typer's answer, and rich's, to a BrokenPipeError
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        # Somebody read as much of the output as they wanted.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except tuple(_EXIT_CODES) as error:
        return _complain(str(error), _EXIT_CODES[type(error)])
    except Exception as error:
        if os.environ.get("DELIVERY_TRACEBACK"):
            raise
        return _complain(
            f"a bug: {type(error).__name__}: {_first_line(error)} "
            "(DELIVERY_TRACEBACK=1 shows where)",
            NO,
        )


def _app(asked: str) -> typer.Typer:
    """The command line. Only the command that is asked for is imported: a worker starts faster."""
    app = typer.Typer(
        help="Turns each OrderCreateEvent from Kafka into exactly one delivery, and keeps a log "
        "of every record.",
        epilog="Exit codes: 0 done, 1 the answer is no, 2 usage or settings, 3 a service can't be "
        "reached. Results go to stdout, everything else to stderr.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    for name in [asked] if asked in COMMANDS else COMMANDS:
        attribute = name.replace("-", "_")
        command = getattr(import_module(f"delivery.cli.{attribute}"), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"delivery {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_tell_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Makes typer expect a command's name, also where only one command is imported."""


def _complain(message: str, code: int) -> int:
    typer.echo(f"delivery: {message}", err=True)
    return code


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]
