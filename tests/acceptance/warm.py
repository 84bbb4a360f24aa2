"""The real command without the start of Python: a process that is ready for it forks.

Of the 0.67 s of processor time that `delivery history` takes, 0.55 s are Python's start and the
imports of other people's libraries. One process does both, once. Then it becomes the command as
often as one is asked for, by a fork, with arguments, environment and streams of its own. All of
ours is imported in the fork, as by a process that was started. Pids, signals, exit codes and pipes
are the system's.

What Python and libraries read of the environment as they start can't be given later. Where it
differs by more than our own variables, Python is started. So it is outside Linux.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path

_SERVER = Path(__file__).with_name("warm_server.py")
_READ_LATER = re.compile("DELIVERY_|PYTEST_|JDK_JAVA_OPTIONS")  # names of variables


def _at_start(environment: Mapping[str, str]) -> dict[str, str]:
    """What is read as Python starts."""
    return {name: text for name, text in environment.items() if not _READ_LATER.match(name)}


_AT_START = _at_start(os.environ)

Done = subprocess.CompletedProcess[str]


class Forked:
    """A process that was forked: what the tests use of `subprocess.Popen`."""

    def __init__(self, told: socket.socket) -> None:
        self._told = told  # by its parent: the pid, and at its end the exit code
        self.pid = int(told.recv(100))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, -N for signal N, or None while it runs."""
        try:
            return self.wait(0)
        except BlockingIOError:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """The exit code. Raises TimeoutError."""
        if self.returncode is None:
            self._told.settimeout(timeout)
            self.returncode = int(self._told.recv(100))
            self._told.close()  # now its parent reaps it; nobody else had its pid until then
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


def is_ready_for(environment: Mapping[str, str]) -> bool:
    """Whether a command with this environment can be forked."""
    return sys.platform == "linux" and _at_start(environment) == _AT_START


def fork(
    arguments: list[str], environment: Mapping[str, str], stdin: int, stdout: int, stderr: int
) -> Forked:
    """Runs `delivery` with these arguments; the streams are descriptors."""
    requests, _ = _server()
    told, tell = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    request = json.dumps([arguments, dict(environment), str(Path.cwd())]).encode()
    with tell:
        socket.send_fds(requests, [request], [stdin, stdout, stderr, tell.fileno()])
    return Forked(told)


def run(
    *arguments: str, environment: Mapping[str, str], stdin: bytes = b"", timeout: float = 120
) -> Done:
    """Runs `delivery` to its end, its streams being pipes. Line ends are told as they are.

    Raises TimeoutError or subprocess.TimeoutExpired.
    """
    if is_ready_for(environment):
        code, output, errors = _run_forked([*arguments], environment, stdin, timeout)
    else:
        command = [sys.executable, "-m", "delivery", *arguments]
        started = subprocess.run(
            command, input=stdin, env=environment, capture_output=True, check=False, timeout=timeout
        )
        code, output, errors = started.returncode, started.stdout, started.stderr
    return Done(["delivery", *arguments], code, output.decode(), errors.decode())


def _run_forked(
    arguments: list[str], environment: Mapping[str, str], stdin: bytes, timeout: float
) -> tuple[int, bytes, bytes]:
    (its_stdin, to_stdin), (output, its_stdout), (errors, its_stderr) = (
        os.pipe() for _ in range(3)
    )
    process = fork(arguments, environment, its_stdin, its_stdout, its_stderr)
    for descriptor in (its_stdin, its_stdout, its_stderr):
        os.close(descriptor)
    with ThreadPoolExecutor(2) as readers:
        read = [readers.submit(_read, descriptor) for descriptor in (output, errors)]
        with suppress(BrokenPipeError), os.fdopen(to_stdin, "wb") as pipe:
            pipe.write(stdin)
        try:
            code = process.wait(timeout)
        except TimeoutError:
            process.kill()
            raise
    return code, read[0].result(), read[1].result()


def _read(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as pipe:
        return pipe.read()


@cache
def _server() -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """Where to ask for a fork, and who does it: it ends when this process has ended."""
    requests, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        process = subprocess.Popen(
            [sys.executable, _SERVER, str(its.fileno())],
            env=_AT_START,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[its.fileno()],
        )
    return requests, process
