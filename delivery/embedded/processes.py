"""The server processes of a folder: lock it, find the live one, wait for its answer."""

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from delivery.embedded.keeper import Kept
from delivery.embedded.unavailable import extra
from delivery.errors import EmbeddedUnavailableError

START_TIMEOUT_S = 60.0
POLL_INTERVAL_S = 0.05


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Makes the folder and locks it: another process waits for its turn. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def pids_in(folder: Path, name: str) -> list[int]:
    """The processes of that name whose working directory this is, oldest first."""
    found = extra("psutil").process_iter(["name", "cwd", "create_time"])
    here = [p for p in found if p.info["name"] == name and p.info["cwd"] == str(folder)]
    return [p.pid for p in sorted(here, key=lambda p: (p.info["create_time"], p.pid))]


def live_pid(folder: Path, name: str, answers: Callable[[], bool]) -> int | None:
    """The server that runs in this folder and answers, or None if there is none.

    One that is on its way up or down is waited for. Raises EmbeddedUnavailableError where it stays.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while pids := pids_in(folder, name):
        if answers():
            return pids[0]
        if time.monotonic() > deadline:
            raise EmbeddedUnavailableError(
                f"process {pids[0]} holds {folder} and is silent: end it"
            )
        time.sleep(POLL_INTERVAL_S)
    return None


def await_answer(name: str, server: Kept, answers: Callable[[], bool], log: Path) -> None:
    """Return when the server answers.

    Raises EmbeddedUnavailableError, quoting its log, if it ends before or has not answered within
    START_TIMEOUT_S; it is killed then.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while not answers():
        if server.has_ended() or time.monotonic() > deadline:
            server.kill()
            raise EmbeddedUnavailableError(f"{name} did not start, see {log}: {last_lines(log)}")
        time.sleep(POLL_INTERVAL_S)


def last_lines(log: Path) -> str:
    """The last three lines of a server's log, in one."""
    lines = log.read_text(errors="replace").splitlines()
    # Indented lines are stack frames and lists of settings.
    messages = [line for line in lines if line and not line[0].isspace()]
    return " / ".join(messages[-3:]) or "it said nothing"
