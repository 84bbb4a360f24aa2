"""The commands that the tests fork: as if they had been started, and where they are started."""

import os
import signal
import subprocess
import sys

import psutil
import pytest
import warm
from processes import environment, wait_until
from service import Service
from warm_server import LIBRARIES


@pytest.mark.parametrize(
    ("arguments", "stdin", "code"),
    [
        ("schema", b"", 0),
        ("history --format xml", b"", 2),
        ("worker", b"", 3),
        ("publish -", b"1\n2\n", 3),
        ("import -", b'{"order_id": 0}\n', 3),
    ],
)
def test_a_forked_command_says_what_a_started_one_says(
    arguments: str, stdin: bytes, code: int
) -> None:
    words = arguments.split()
    settings = {"database_url": "postgresql://127.0.0.1:1/문", "kafka_bootstrap_servers": "[::1]:1"}
    environ = environment(settings)
    assert warm.is_ready_for(environ) is (sys.platform == "linux")
    forked = warm.run(*words, environment=environ, stdin=stdin)
    started = subprocess.run(
        [sys.executable, "-m", "delivery", *words],
        env=environ, input=stdin, capture_output=True, check=False,
    )  # fmt: skip
    assert (forked.returncode, forked.stdout.encode(), forked.stderr.encode()) == (
        started.returncode, started.stdout, started.stderr,
    )  # fmt: skip
    assert forked.returncode == code


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGKILL, -9)])
def test_a_forked_command_gets_signals_and_its_exit_code_is_told(
    service: Service, number: signal.Signals, code: int
) -> None:
    worker = service.command("worker")
    service.wait_for_members(1)
    assert worker.running.poll() is None
    assert worker.end(number) == code
    wait_until(lambda: not psutil.pid_exists(worker.running.pid), "its parent reaps it")


def test_what_python_reads_as_it_starts_is_given_by_a_start() -> None:
    assert not warm.is_ready_for(os.environ | {"PYTHONUTF8": "1"})
    assert not warm.is_ready_for(os.environ | {"COLUMNS": "40"})
    utf8 = warm.run("--version", environment=os.environ | {"PYTHONUTF8": "1"})
    assert (utf8.returncode, utf8.stdout[:9]) == (0, "delivery ")


def test_nothing_of_ours_is_imported_before_the_fork() -> None:
    code = (
        "import sys; from importlib import import_module\n"
        f"for name in {LIBRARIES}: import_module(name)\n"
        "print([name for name in sys.modules if name.partition('.')[0] == 'delivery'])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert told.stdout == b"[]\n"
