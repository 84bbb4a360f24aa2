"""What a run has of its own: a database, a broker, a topic, and a folder with all their logs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from brokers import Brokers
from kafka.admin import NewTopic
from psycopg.rows import TupleRow
from pydantic import SecretStr
from standby import Pair

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
        has_standby: bool = False,
    ) -> None:
        self.folder = folder
        self._database = postgres.start(folder / "postgres")
        self.brokers = Brokers(folder, brokers, broker_session_timeout_ms)
        migrations.upgrade(SecretStr(self._database.url))
        self.pair = self._pair() if has_standby else None
        with self.brokers.admin() as admin:
            admin.create_topics([NewTopic(TOPIC, PARTITIONS, brokers)])

    def _pair(self) -> Pair:
        """The database with a standby that each commit waits for."""
        pair = Pair(self.folder, self._database, self.folder / "postgres", {})
        pair.require_standby()
        return pair

    @property
    def database_url(self) -> str:
        """With a standby: of whichever of the two is the primary."""
        return self.pair.url if self.pair else self._database.url

    def settings(self) -> dict[str, str]:
        """For processes: the environment without its prefix."""
        return {
            "database_url": self.database_url,
            "kafka_bootstrap_servers": self.brokers.addresses,
            "kafka_topic": TOPIC,
            "kafka_group_id": GROUP,
            "kafka_session_timeout": str(SESSION_TIMEOUT_S),
        }

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """A connection of the moment: none lives longer than the database does."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute("SET TIME ZONE 'UTC'")
            yield connection

    def restart_database(self, crash: bool) -> None:
        """At a crash nothing is written down, and it recovers from its write-ahead log."""
        if self.pair:
            self.pair.restart_primary(crash)
            return
        self._database.kill() if crash else self._database.stop()
        self._database = postgres.start(self.folder / "postgres", self._database.port)

    def close(self) -> None:
        """Stops all servers."""
        self.brokers.close()
        (self.pair.close if self.pair else self._database.stop)()
