"""Runs a server for exactly as long as the process that asked for it lives.

    python -m delivery.embedded.keeper [--user NAME] [--stop-signal N] LOGFILE -- COMMAND...

The server is the child of this small process, whose stdin is a pipe that nobody writes to: the
pipe closes when the starter ends in whatever way, SIGKILL included, and then the server is
stopped. An `atexit` hook in the starter could not do that. Only the standard library is imported,
so that it starts in a moment.
"""

import argparse
import ctypes
import os
import pwd
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

STOP_TIMEOUT_S = 20.0
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Kept:
    """A server under its keeper. Hold on to it: the server ends when this is collected."""

    keeper: subprocess.Popen[bytes]
    pid: int

    def has_ended(self) -> bool:
        return self.keeper.poll() is not None

    def stop(self) -> None:
        """Stop the server, or kill it after STOP_TIMEOUT_S. Returns when it has ended."""
        self.keeper.communicate()  # closes its stdin, and waits

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send the server itself this signal and return when it has ended."""
        if not self.has_ended():
            os.kill(self.pid, number)
        self.stop()


def keep(
    command: Sequence[str | Path],
    log: Path,
    folder: Path,
    user: str | None = None,
    stop_signal: signal.Signals = signal.SIGTERM,
) -> Kept:
    """Run the command in that folder as that user until it is stopped or this process ends.

    Its output replaces what the log held. Raises OSError where it can't be run.
    """
    # By path and isolated, not by -m: nothing but the standard library can then be imported.
    options = [f"--stop-signal={stop_signal:d}", *([f"--user={user}"] if user else [])]
    arguments = [sys.executable, "-I", "-S", __file__, *options, log, "--", *command]
    with log.open("wb") as errors:
        keeper = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=folder,
            start_new_session=True,  # a Ctrl-C in the terminal is for the starter alone
        )
    with cast("IO[bytes]", keeper.stdout) as answer:
        pid = answer.readline()
    if not pid:
        keeper.communicate()
        raise ChildProcessError(f"can't run {command[0]}, see {log}")
    return Kept(keeper, int(pid))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, say its pid on stdout, and return its exit code (128 + N for signal N)."""
    options = _options(arguments)
    child = _run(options.command, options.logfile, options.user)
    end = partial(_end, child, options.stop_signal)
    signal.signal(signal.SIGTERM, lambda *_: end())
    # A handler, for SIG_IGN would be inherited by what the child starts.
    signal.signal(signal.SIGINT, lambda *_: None)
    threading.Thread(target=_at_eof, args=(end,), daemon=True).start()
    os.write(sys.stdout.fileno(), f"{child.pid}\n".encode())
    code = child.wait()
    return code if code >= 0 else 128 - code


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m delivery.embedded.keeper")
    parser.add_argument("--user")
    parser.add_argument("--stop-signal", type=int, default=signal.SIGTERM, metavar="N")
    parser.add_argument("logfile", type=Path)
    parser.add_argument("command", nargs="+")
    return parser.parse_args(arguments)


def _run(command: list[str], logfile: Path, user: str | None) -> subprocess.Popen[bytes]:
    account: dict[str, Any] = {}
    if user:
        account = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
    with logfile.open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=_death_with_parent(),
            **account,
        )


def _death_with_parent() -> Callable[[], None] | None:
    """What a child calls to be killed when the keeper is; subprocess does so after its setuid,
    and it has to be then, as a change of credentials clears it. Linux alone has it."""
    if sys.platform != "linux":
        return None
    prctl, keeper = ctypes.CDLL(None).prctl, os.getpid()

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != keeper:  # it ended before we asked
            os._exit(1)

    return ask


def _end(child: subprocess.Popen[bytes], stop_signal: int) -> None:
    child.send_signal(stop_signal)
    deadline = threading.Timer(STOP_TIMEOUT_S, child.kill)
    deadline.daemon = True
    deadline.start()


def _at_eof(end: Callable[[], None]) -> None:
    while os.read(0, 1024):
        pass
    end()


if __name__ == "__main__":
    sys.exit(main())
