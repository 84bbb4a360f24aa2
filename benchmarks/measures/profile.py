"""Where each microsecond of the worker goes: py-spy looks at the real one 100 times a second."""

import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks import processes
from benchmarks.environment import Environment
from benchmarks.records import records
from benchmarks.sizes import Sizes

SAMPLES_A_SECOND = 100  # py-spy stops the process each time: at 500 it ran at half its speed

# What is not under it is the start, or one of kafka-python's own threads.
LOOP = "run (delivery/worker/loop.py"

# A sample belongs to the first stage one of whose frames is on its stack. The function's name and
# its file, as py-spy writes them.
STAGES = (
    ("offset commit", ("commit (delivery/broker/consumer.py", "wait (delivery/broker")),
    ("poll", ("poll (delivery/broker/consumer.py",)),
    ("decode", ("decoded (delivery/inbox/transaction.py",)),
    (
        "read",
        (
            "read (delivery/inbox/statements.py",
            "read_clock (delivery/inbox/statements.py",
            "at (delivery/inbox/dead_letters.py",
        ),
    ),
    ("decide", ("decide (delivery/domain/decide.py",)),
    ("write", ("write (delivery/inbox/statements.py", "insert (delivery/inbox/dead_letters.py")),
    ("database commit", ("(psycopg/transaction.py", "transaction (psycopg/")),
)
OTHER = "other"


def measure(environment: Environment, sizes: Sizes) -> Iterator[dict[str, Any]]:
    """Microseconds a record, a sample for each of the worker's stages in each round.

    It is the loop's own time, with its waits for the servers: together 1/rate. Where py-spy can't
    look, one sample says why.
    """
    start = datetime.now(UTC) - timedelta(milliseconds=sizes.records)
    topic = environment.published(records(sizes.records, start))
    microseconds = 1e6 / SAMPLES_A_SECOND / sizes.records
    for number in range(1, sizes.rounds + 1):
        with environment.database() as url:
            stacks, failure = _recorded(environment.settings(topic, url))
        if failure:
            yield {"failure": failure}
            return
        for name, count in folded(stacks).items():
            time = round(count * microseconds, 2)
            yield {"round": number, "stage": name, "samples": count, "microseconds": time}


def folded(stacks: str) -> Counter[str]:
    """How many samples belong to which stage. A line is frames with `;` between, and a count."""
    counts: Counter[str] = Counter()
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        if LOOP in stack:
            counts[_stage(stack)] += int(count)
    return counts


def _stage(stack: str) -> str:
    for name, frames in STAGES:
        if any(frame in stack for frame in frames):
            return name
    return OTHER


def _recorded(settings: dict[str, str]) -> tuple[str, str]:
    """What py-spy saw of a worker's drain, or else why it could not look."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "stacks"
        spy = [str(Path(sys.executable).with_name("py-spy")), "record", "--format", "raw", "--idle"]
        options = ["--rate", str(SAMPLES_A_SECOND), "--output", str(output), "--"]
        worker = [sys.executable, "-m", "delivery", "worker", "--drain"]
        done = subprocess.run(
            [*spy, *options, *worker],
            env=processes.variables(settings),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or not output.exists():
            return "", " ".join(done.stderr.split())[-300:] or f"exit code {done.returncode}"
        return output.read_text(), ""
