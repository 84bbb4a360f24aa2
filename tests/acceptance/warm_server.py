"""Becomes `delivery`, by a fork, for each request on its socket: see warm.py.

python warm_server.py DESCRIPTOR
"""

import gc
import io
import json
import os
import runpy
import signal
import socket
import sys
from contextlib import suppress
from importlib import import_module
from typing import NoReturn, TextIO

# All that a command of ours imports of others, and that takes long.
LIBRARIES = (
    "kafka",
    "kafka.admin",
    "msgspec.json",
    "psycopg.types.json",
    "pydantic_settings",
    "rich.progress",
    "rich.table",
    "sqlalchemy.dialects.postgresql",
    "structlog",
    "typer._adapters",
    "urllib.request",
)
LARGEST_REQUEST = 2**18  # bytes


def main() -> None:
    """Ends when nobody can ask any more; in each fork, with the command."""
    for name in LIBRARIES:
        import_module(name)
    gc.freeze()  # or a fork's first collection would copy all of it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the commands' parents
    if _await_request(socket.socket(fileno=int(sys.argv[1]))):
        runpy.run_module("delivery", run_name="__main__", alter_sys=True)


def _await_request(requests: socket.socket) -> bool:
    """True in a fork: it is as a process that was started to run the command."""
    while True:
        request, files, _, _ = socket.recv_fds(requests, LARGEST_REQUEST, 4)
        if not request:
            return False
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            command = os.fork()
            if command:
                _tell_the_end(command, files)
            requests.detach()
            _become(files, *json.loads(request))
            return True
        for file in files:
            os.close(file)


def _tell_the_end(command: int, files: list[int]) -> NoReturn:
    """Of the command, whose parent this is: its pid, then its exit code, then it is reaped."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the command's
    *streams, tell = files
    for stream in streams:
        os.close(stream)
    with socket.socket(fileno=tell) as told, suppress(OSError):  # where nobody listens any more
        told.send(b"%d" % command)
        ended = os.waitid(os.P_PID, command, os.WEXITED | os.WNOWAIT)
        assert ended
        code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        told.send(b"%d" % code)
        told.recv(1)
    os.waitpid(command, 0)
    os._exit(0)


def _become(
    files: list[int], arguments: list[str], environment: dict[str, str], folder: str
) -> None:
    """Takes these for its streams, and so on."""
    for number, file in enumerate(files[:3]):
        os.dup2(file, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[0] = folder
    sys.argv[1:] = arguments
    sys.stdin, sys.stdout, sys.stderr = map(_opened, range(3), (sys.stdin, sys.stdout, sys.stderr))


def _opened(number: int, before: TextIO) -> TextIO:
    """As Python opens its streams. That depends on a terminal, and on PYTHONUNBUFFERED."""
    assert isinstance(before, io.TextIOWrapper)
    file = io.FileIO(number, "wb" if number else "rb", closefd=False)
    file.name = before.name
    unbuffered = before.write_through
    written: io.FileIO | io.BufferedWriter = file if unbuffered else io.BufferedWriter(file)
    stream = io.TextIOWrapper(
        written if number else io.BufferedReader(file),
        before.encoding,
        before.errors,
        newline="\n",
        line_buffering=not unbuffered and (number == 2 or os.isatty(number)),
        write_through=unbuffered,
    )
    vars(stream)["mode"] = before.mode
    return stream


if __name__ == "__main__":
    main()
