"""A real pgbouncer in front of the tests' PostgreSQL, where the machine has one."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

SECONDS = 20.0  # a deadline

needs_pgbouncer = pytest.mark.skipif(
    shutil.which("pgbouncer") is None,
    reason="there is no pgbouncer on this machine (Debian: the package pgbouncer)",
)


@contextmanager
def pooled(url: str, folder: Path, mode: str, size: int) -> Iterator[str]:
    """Runs pgbouncer in that mode with so many sessions of the server, and gives its URL."""
    server, port = urlsplit(url), _free_port()
    (folder / "users").write_text(f'"{server.username}" ""\n')
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "trust",
        "auth_file": folder / "users",
        "pool_mode": mode,
        "default_pool_size": size,
    }
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(
        f"[databases]\n* = host=127.0.0.1 port={server.port}\n[pgbouncer]\n"
        + "".join(f"{name} = {value}\n" for name, value in settings.items())
    )
    _open_to_all(folder)
    as_nobody = ["--user", "nobody"] if os.getuid() == 0 else []  # it refuses to be root
    log = folder / "log"
    with log.open("wb") as errors:
        running = subprocess.Popen(["pgbouncer", *as_nobody, configuration], stderr=errors)
    try:
        _await(port, running, log)
        yield url.replace(f":{server.port}/", f":{port}/")
    finally:
        running.kill()
        running.wait()


def _await(port: int, running: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert running.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        else:
            return


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _open_to_all(folder: Path) -> None:
    """pytest's folders are for their owner alone, and pgbouncer has another one."""
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755)
    for parent in folder.parents:
        if parent.owner() == folder.owner() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
