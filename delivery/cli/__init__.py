"""The command line. It wires settings, servers and functions together, and decides nothing."""

import io
import logging
import os
import sys

import typer

from delivery import errors
from delivery.cli.commands import command_line
from delivery.interrupt import INTERRUPTED
from delivery.invisible import escaped

DONE, NO, USAGE, UNREACHABLE = 0, 1, 2, 3

_EXIT_CODES: dict[type[Exception], int] = {
    errors.SettingsError: USAGE,
    errors.NotMigratedError: USAGE,
    errors.ForbiddenError: USAGE,
    errors.FloodError: NO,
    errors.RaceError: NO,
    errors.GroupActiveError: NO,
    errors.DeadLetterRefusedError: NO,
    errors.RefusedError: NO,
    errors.UnavailableError: UNREACHABLE,
    errors.FencedError: UNREACHABLE,
    errors.EmbeddedUnavailableError: UNREACHABLE,
}


def main() -> None:
    """The entry point: every error is one line on stderr and a documented exit code."""
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)  # its exceptions say the same
    sys.exit(run())


def run() -> int:
    """Runs the command of `sys.argv` and returns its exit code."""
    _escape_what_streams_lack()
    try:
        return int(command_line(standalone_mode=False, prog_name="delivery") or DONE)
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


def _escape_what_streams_lack() -> None:
    """A terminal's encoding may lack what a record or an argument holds."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _complain(message: str, code: int) -> int:
    typer.echo(escaped(f"delivery: {message}"), err=True)
    return code


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]
