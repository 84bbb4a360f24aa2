"""A test in this folder does no I/O: where it opens a file, a socket or a process, it fails."""

import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

# Code and what comes with it, and how this process is doing: prometheus-client asks that.
OWN = tuple(
    f"{folder}/"
    for folder in (
        HERE,
        ROOT / "delivery",
        ROOT / ".hypothesis",  # Hypothesis keeps there what it read in the code
        sys.prefix,
        sys.base_prefix,
        "/usr/share/zoneinfo",
        "/proc",
    )
)
FORBIDDEN = {
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.system",
    "socket.__new__",
    "subprocess.Popen",
}

# What failed is not kept: it is printed.
hypothesis.settings.register_profile("unit", database=None)
hypothesis.settings.load_profile("unit")

_in_a_test = False


class InputOutput(BaseException):
    """A unit test did I/O."""


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if not _in_a_test:
        return
    if event in FORBIDDEN or (event in {"open", "os.mkdir"} and not _is_own(arguments[0])):
        raise InputOutput(f"a test in tests/unit does no I/O: {event} {arguments}")


def _is_own(file: object) -> bool:
    return isinstance(file, int) or f"{file}/".startswith(OWN)  # an int is a file that is open


sys.addaudithook(_refuse)


def _refusing() -> Generator[None, Any, Any]:
    global _in_a_test
    _in_a_test = True
    try:
        return (yield)
    finally:
        _in_a_test = False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, Any, Any]:
    return (yield from _refusing())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, Any, Any]:
    return (yield from _refusing())
