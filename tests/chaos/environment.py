"""What a run has of its own: a database, a broker, a topic, and a folder with all their logs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from brokers import Brokers
from kafka.admin import NewTopic
from psycopg.rows import TupleRow
from pydantic import SecretStr

from delivery.embedded import postgres
from delivery.postgres import migrations

TOPIC = "orders"
GROUP = "delivery"
PARTITIONS = 4
SESSION_TIMEOUT_S = 6  # less the broker does not allow
BROKER_SESSION_TIMEOUT_MS = 9000  # Kafka's default: so long a killed broker is waited for

Coordinates = tuple[int, int]  # partition, offset
Connection = psycopg.Connection[TupleRow]


class Environment:
    """The servers. Each is started again on its folder and port, so that its clients find it."""

    def __init__(
        self,
        folder: Path,
        brokers: int = 1,
        broker_session_timeout_ms: int = BROKER_SESSION_TIMEOUT_MS,
    ) -> None:
        self.folder = folder
        self.database = postgres.start(folder / "postgres")
        self.brokers = Brokers(folder, brokers, broker_session_timeout_ms)
        migrations.upgrade(SecretStr(self.database.url))
        with self.brokers.admin() as admin:
            admin.create_topics([NewTopic(TOPIC, PARTITIONS, brokers)])

    def settings(self) -> dict[str, str]:
        """For processes: the environment without its prefix."""
        return {
            "database_url": self.database.url,
            "kafka_bootstrap_servers": self.brokers.addresses,
            "kafka_topic": TOPIC,
            "kafka_group_id": GROUP,
            "kafka_session_timeout": str(SESSION_TIMEOUT_S),
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

    def close(self) -> None:
        """Stops all servers."""
        self.brokers.close()
        self.database.stop()
