"""What a run has of its own: a database, a broker, a topic, and a folder with all their logs."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from kafka import KafkaAdminClient
from kafka.admin import NewTopic
from psycopg.rows import TupleRow
from pydantic import SecretStr

from delivery.embedded import kafka, postgres
from delivery.postgres import migrations

TOPIC = "orders"
GROUP = "delivery"
PARTITIONS = 4
SESSION_TIMEOUT = 6  # seconds; less the broker does not allow

Coordinates = tuple[int, int]  # partition, offset
Connection = psycopg.Connection[TupleRow]


class Ground:
    """The servers. Each is started again on its folder and port, so that its clients find it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = postgres.start(folder / "postgres")
        self.broker = kafka.start(folder / "kafka", fast_start=True)
        migrations.upgrade(SecretStr(self.database.url))
        admin = KafkaAdminClient(bootstrap_servers=self.broker.bootstrap_servers)
        admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])
        admin.close()

    def settings(self) -> dict[str, str]:
        """For processes: the environment without its prefix."""
        return {
            "database_url": self.database.url,
            "kafka_bootstrap_servers": self.broker.bootstrap_servers,
            "kafka_topic": TOPIC,
            "kafka_group_id": GROUP,
            "kafka_session_timeout": str(SESSION_TIMEOUT),
        }

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """A connection of the moment: none lives longer than the database does."""
        with psycopg.connect(self.database.url, autocommit=True) as connection:
            connection.execute("SET TIME ZONE 'UTC'")
            yield connection

    def restart_database(self, crash: bool) -> None:
        """At a crash nothing is written down, and it recovers from its write-ahead log."""
        self.database.kill() if crash else self.database.stop()
        self.database = postgres.start(self.folder / "postgres", self.database.port)

    def restart_broker(self, crash: bool) -> None:
        """At a crash it recovers what the operating system has of its log."""
        self.broker.kill() if crash else self.broker.stop()
        self.broker = kafka.start(self.folder / "kafka", self.broker.port, fast_start=True)

    @contextmanager
    def frozen_broker(self) -> Iterator[None]:
        """Connections stay, and nobody answers."""
        os.kill(self.broker.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.broker.pid, signal.SIGCONT)

    def close(self) -> None:
        """Stops both servers."""
        self.broker.stop()
        self.database.stop()
