"""A database of its own, and what one statement costs its process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from pydantic import SecretStr

from benchmarks import commits, filling
from benchmarks.environment import Connection
from delivery.embedded import postgres
from delivery.postgres import migrations

SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "16GB", "checkpoint_timeout": "30min"}


@contextmanager
def database(folder: Path, url: str | None) -> Iterator[str]:
    """A database of its own, which is dropped in the end."""
    server = None if url else postgres.start(folder / "postgres", settings=SETTINGS)
    url = url or (server.url if server else "")
    try:
        with commits.connected(url) as connection:
            connection.execute("CREATE DATABASE row_cost")
            try:
                yield urlsplit(url)._replace(path="/row_cost").geturl()
            finally:
                connection.execute("DROP DATABASE row_cost WITH (FORCE)")
    finally:
        if server:
            server.stop()


def shared_folder(folder: Path) -> Path:
    """A folder that PostgreSQL writes to, which runs as another user where we are root."""
    shared = folder / "rows"
    shared.mkdir(exist_ok=True)
    shared.chmod(0o777)
    return shared


def fill(url: str, ids: str, rows: int) -> None:
    """A schema as it is, with so many events and their deliveries."""
    with commits.connected(url) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    migrations.upgrade(SecretStr(url))
    filling.fill(url, ids, 1, rows, rows)


class Meter:
    """CPU in seconds and write-ahead log in bytes, of a connection's process since it was made."""

    def __init__(self, connection: Connection) -> None:
        connection.execute("CHECKPOINT")
        self._connection = connection
        self._process = psutil.Process(connection.info.backend_pid)
        self._cpu, self._lsn = self._now(), one(connection, "SELECT pg_current_wal_insert_lsn()")

    def read(self) -> tuple[float, float]:
        """CPU, WAL."""
        cpu = self._now() - self._cpu
        since = f"SELECT pg_current_wal_insert_lsn() - '{self._lsn}'::pg_lsn"
        return cpu, float(one(self._connection, since))

    def _now(self) -> float:
        return sum(self._process.cpu_times()[:2])


def one(connection: Connection, query: str) -> Any:
    """The one value that a query gives."""
    ((value,),) = connection.execute(query.encode()).fetchall()
    return value


def say(line: str) -> None:
    """Prints it at once."""
    print(line, flush=True)  # noqa: T201
