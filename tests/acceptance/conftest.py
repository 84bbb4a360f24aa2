"""A service of the test's own: a database, a topic, a consumer group, and workers on them."""

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import processes
import pytest
from kafka import KafkaAdminClient, KafkaProducer
from processes import Process, wait_until
from stream import Sent
from tables import accounted

from delivery.embedded import postgres
from delivery.embedded.kafka import KafkaServer
from delivery.embedded.postgres import PostgresServer
from delivery.postgres.database import Connection


@dataclass
class Service:
    """What the processes share, and those that were started."""

    bootstrap_servers: str
    topic: str
    group: str
    connection: Connection
    folder: Path
    settings: dict[str, str]
    started: list[Process] = field(default_factory=list)

    def run(self, *arguments: str, **settings: str) -> Process:
        """Starts Python with these arguments and the service's settings."""
        log = self.folder / f"stderr-{len(self.started)}"
        process = processes.start(log, list(arguments), self.settings | settings)
        self.started.append(process)
        return process

    def worker(self, *options: str, **settings: str) -> Process:
        """Starts `delivery worker`."""
        return self.run("-m", "delivery", "worker", *options, **settings)

    def drain(self, **settings: str) -> dict[str, int]:
        """Runs `delivery worker --drain` to its end, and returns what it says it did."""
        drained = self.worker("--drain", **settings)
        assert drained.exit_code() == 0, drained.stderr()
        return drained.totals()

    def publish(self, sent: Iterable[Sent]) -> None:
        """Publishes the records in their order. When it returns, they are in the topic."""
        with closing(KafkaProducer(bootstrap_servers=self.bootstrap_servers)) as producer:
            for record in sent:
                producer.send(
                    self.topic,
                    record.value,
                    record.key,
                    partition=record.partition,
                    timestamp_ms=record.milliseconds,
                )
            producer.flush()

    def wait_until_accounted(self, records: int) -> None:
        """Waits until the logs hold so many records."""
        what = f"{records} records are accounted for"
        wait_until(lambda: accounted(self.connection) >= records, what, *self.started)

    def wait_for_members(self, number: int) -> None:
        """Waits until so many workers are in the group and have their partitions."""
        with closing(KafkaAdminClient(bootstrap_servers=self.bootstrap_servers)) as admin:

            def joined() -> bool:
                group = admin.describe_groups([self.group])[self.group]
                return group["group_state"] == "Stable" and len(group["members"]) == number

            wait_until(joined, f"{number} workers are in the group", *self.started)

    def committed(self) -> dict[int, int]:
        """The group's offset for each partition of which it has read something."""
        with closing(KafkaAdminClient(bootstrap_servers=self.bootstrap_servers)) as admin:
            offsets = admin.list_group_offsets(self.group)[self.group]
        return {at.partition: found.offset for at, found in offsets.items() if found.offset > 0}


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
