"""The real command in real processes: started, watched and ended."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import warm
from warm import Forked

SECONDS = 90.0  # the deadline of what takes one or two seconds, on a machine that does much else


@dataclass(frozen=True)
class Process:
    """A process of ours, and the file that its stderr goes to."""

    running: subprocess.Popen[bytes] | Forked
    log: Path

    def stderr(self) -> str:
        """What it has said so far."""
        return self.log.read_text()

    def has_ended(self) -> bool:
        return self.running.poll() is not None

    def exit_code(self, seconds: float = SECONDS) -> int:
        """Waits for its end."""
        wait_until(self.has_ended, "the process ends", self, seconds=seconds)
        return self.running.wait()

    def end(self, number: signal.Signals = signal.SIGTERM, seconds: float = SECONDS) -> int:
        """Sends a signal and waits for its end. Returns the exit code, -N for signal N."""
        self.running.send_signal(number)
        return self.exit_code(seconds)

    def warnings(self) -> list[dict[str, Any]]:
        """The warnings in its log, but for the one that is true of the tests' own PostgreSQL."""
        logged = [json.loads(line) for line in self.stderr().splitlines() if line.startswith("{")]
        warned = [line for line in logged if line["level"] == "warning"]
        return [line for line in warned if "fsync=off" not in line["event"]]

    def totals(self) -> dict[str, int]:
        """What a worker that has ended says it did: how many records had which outcome."""
        said = json.loads(self.stderr().splitlines()[-1])
        assert said["event"] == "stopped"
        return {name: n for name, n in said.items() if isinstance(n, int) and n}


def start(
    log: Path, arguments: list[str], settings: Mapping[str, str], project: Path | None = None
) -> Process:
    """Starts Python with these arguments and, of all DELIVERY_ variables, with these settings.

    With `project` it is the code in that folder that runs.
    """
    with log.open("wb") as stderr:
        running = subprocess.Popen(
            [sys.executable, *arguments],
            env=environment(settings) | ({"PYTHONPATH": str(project)} if project else {}),
            cwd=project,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
    return Process(running, log)


def fork(log: Path, arguments: list[str], settings: Mapping[str, str]) -> Process:
    """Runs `delivery` with these, by a fork: for a command that is not what the test is about."""
    if not warm.is_ready_for(env := environment(settings)):
        return start(log, ["-m", "delivery", *arguments], settings)
    with log.open("wb") as stderr, Path(os.devnull).open("r+b") as nothing:
        streams = (nothing.fileno(), nothing.fileno(), stderr.fileno())
        return Process(warm.fork(arguments, env, *streams), log)


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's own, but of all DELIVERY_ variables these settings alone."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DELIVERY_")}
    return clean | {f"DELIVERY_{name.upper()}": value for name, value in settings.items()}


def end_all(processes: Sequence[Process]) -> list[int]:
    """Asks all of them to end, and waits. Returns their exit codes."""
    for process in processes:
        process.running.terminate()
    return [process.exit_code() for process in processes]


def wait_until(
    condition: Callable[[], bool], what: str, *processes: Process, seconds: float = SECONDS
) -> None:
    """Polls for the condition. Where it does not come true, the processes' stderr is shown."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            said = [f"exit code {p.running.poll()}, stderr:\n{p.stderr()}" for p in processes]
            raise AssertionError("\n".join([f"not within {seconds:.0f} s: {what}", *said]))
        time.sleep(0.01)
