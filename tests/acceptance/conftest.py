"""Makes services, and ends their processes."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from service import Service

from delivery.embedded import postgres
from delivery.embedded.kafka import KafkaServer
from delivery.embedded.postgres import PostgresServer
from delivery.postgres.database import Connection


@pytest.fixture
def make_service(
    kafka_server: KafkaServer,
    make_topic: Callable[[int], str],
    connection: Connection,
    database_url: str,
    tmp_path: Path,
) -> Iterator[Callable[[int], Service]]:
    """Makes a service with so many partitions. Its processes are killed at the end of the test."""
    made: list[Service] = []

    def make(partitions: int = 1) -> Service:
        topic = make_topic(partitions)
        settings = {
            "database_url": database_url,
            "kafka_bootstrap_servers": kafka_server.bootstrap_servers,
            "kafka_topic": topic,
            "kafka_group_id": f"group-{topic}",
            "kafka_session_timeout": "2",
        }
        group = settings["kafka_group_id"]
        service = Service(
            kafka_server.bootstrap_servers, topic, group, connection, tmp_path, settings
        )
        made.append(service)
        return service

    yield make
    for process in (process for service in made for process in service.started):
        process.running.send_signal(signal.SIGKILL)
        process.running.wait()


@pytest.fixture
def service(make_service: Callable[[int], Service]) -> Service:
    """A service whose topic has one partition."""
    return make_service(1)


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[Callable[[], PostgresServer]]:
    """Starts a server of the test's own, again and again on the same folder and port."""
    running: list[PostgresServer] = []

    def start() -> PostgresServer:
        port = running[0].port if running else None
        running.append(postgres.start(tmp_path / "own", port, {"fsync": "off"}))
        return running[-1]

    yield start
    for server in running:
        server.stop()
