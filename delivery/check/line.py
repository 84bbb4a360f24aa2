"""One line of the answer."""

from typing import Literal, NamedTuple

from delivery.errors import SettingsError, UnavailableError

Result = Literal["ok", "warning", "failed"]

# Whose fault it is, as the exit codes tell them apart.
Cause = Literal["settings", "unreachable", "other"]


class Line(NamedTuple):
    """What was looked at, what came of it, and what to do; `todo` is empty where all is well."""

    check: str
    result: Result
    text: str
    todo: str = ""
    cause: Cause = "other"


def ok(check: str, text: str) -> Line:
    """All is as it should be."""
    return Line(check, "ok", text)


def warning(check: str, text: str, todo: str) -> Line:
    """A worker runs, but somebody should know this."""
    return Line(check, "warning", text, todo)


def failed(check: str, text: str, todo: str, cause: Cause = "other") -> Line:
    """A worker would not run, or not do what it should."""
    return Line(check, "failed", text, todo, cause)


def of_error(check: str, error: Exception, todo: str) -> Line:
    """What an error of ours says."""
    match error:
        case SettingsError():
            return failed(check, str(error), todo, "settings")
        case UnavailableError():
            return failed(check, str(error), todo, "unreachable")
        case _:
            return failed(check, str(error), todo)
