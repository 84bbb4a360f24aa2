"""Contenders as processes: started, watched from outside, in the same way for all of them.

Nothing is measured inside a contender: the clock starts at the time in its line `consuming`, CPU
time and peak memory are those that the operating system counts.
"""

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from benchmarks.contenders import Contender

WATCH_EVERY = 0.05  # seconds


class FailedError(Exception):
    """A contender ended before it was asked to."""


@dataclass
class Contending:
    """A contender at work. `consuming` is when it was about to poll for the first time."""

    running: "subprocess.Popen[str]"
    consuming: datetime
    cpu_before: float  # seconds of CPU time that its start took
    lines: list[str]
    peaks: list[int] = field(default_factory=list)  # the last one is the peak memory so far

    def watch_memory(self) -> None:
        """Until the process ends. At its end it can't be asked any more."""
        while (peak := peak_memory(self.running.pid)) is not None:
            self.peaks[:] = [peak]
            time.sleep(WATCH_EVERY)

    @property
    def cpu_seconds(self) -> float:
        """CPU time since its first poll."""
        return cpu_seconds(self.running.pid) - self.cpu_before

    def finish(self) -> "Finished":
        """Waits until it has done all. Raises FailedError where it ended otherwise."""
        stopped = _await(self.running, "stopped", self.lines)
        cpu = self.cpu_seconds
        peak = self.peaks[0] if self.peaks else None
        _read_to_end(self.running, self.lines)
        return Finished(self.consuming, _time(stopped), cpu, peak, stopped)


@dataclass(frozen=True)
class Finished:
    """What a contender took from its first poll to its end."""

    consuming: datetime
    stopped: datetime
    cpu_seconds: float
    peak_memory: int | None  # bytes; None where the system does not say
    said: dict[str, Any]  # its last line


@contextmanager
def contending(
    contender: Contender, settings: Mapping[str, str], *options: str
) -> Iterator[Contending]:
    """A contender that is about to poll. Whatever happens, it has ended afterwards."""
    with started(contender, settings, *options) as running:
        yield announced(running)


def announced(running: "subprocess.Popen[str]") -> Contending:
    """Waits for the line `consuming`. Raises FailedError where the process ends without it."""
    lines: list[str] = []
    consuming = _time(_await(running, "consuming", lines))
    contending = Contending(running, consuming, cpu_seconds(running.pid), lines)
    threading.Thread(target=contending.watch_memory, daemon=True).start()
    return contending


@contextmanager
def started(
    contender: Contender, settings: Mapping[str, str], *options: str
) -> Iterator["subprocess.Popen[str]"]:
    """A contender's process, as soon as there is one."""
    running = subprocess.Popen(
        [contender.python, "-m", f"benchmarks.contenders.{contender.name}", *options],
        env=variables(settings),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with running:  # closes the pipe and waits
        try:
            yield running
        finally:
            running.kill()


def variables(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with these settings instead of whatever DELIVERY_ ones it has."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("DELIVERY_")}
    root = str(Path(__file__).parent.parent)  # where `benchmarks` is found
    return {**ours, "PYTHONPATH": root, **settings}


def cpu_seconds(pid: int) -> float:
    """The CPU time of a process and of its children, also of those that have ended."""
    process = psutil.Process(pid)
    return sum(_own_and_reaped(one) for one in [process, *process.children()])


def peak_memory(pid: int) -> int | None:
    """The most memory that the process had at once, in bytes; only Linux says."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    except (OSError, ValueError):
        return None
    return int(line.split()[1]) * 1024


def _own_and_reaped(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:  # its parent counts it now
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


def _await(running: "subprocess.Popen[str]", event: str, lines: list[str]) -> dict[str, Any]:
    for line in running.stderr or ():
        lines.append(line)
        if line.startswith("{") and (said := json.loads(line))["event"] == event:
            return dict(said)
    code = running.wait()
    raise FailedError(f"ended with {code} before {event!r}:\n{''.join(lines[-20:])}")


def _read_to_end(running: "subprocess.Popen[str]", lines: list[str]) -> None:
    lines.extend(running.stderr or ())
    if code := running.wait():
        raise FailedError(f"ended with {code}:\n{''.join(lines[-20:])}")


def _time(said: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(said["timestamp"])
