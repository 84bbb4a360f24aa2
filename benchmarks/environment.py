"""What the contenders share: PostgreSQL, Kafka, Redis, a topic, and a database for each run."""

import itertools
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from kafka import KafkaAdminClient
from kafka.admin import NewTopic
from psycopg import sql
from psycopg.rows import TupleRow
from pydantic import SecretStr

from benchmarks import contenders, processes, redis_server
from benchmarks.records import Sent
from benchmarks.redis_server import RedisServer
from delivery.embedded import kafka, postgres
from delivery.embedded.kafka import KafkaServer
from delivery.embedded.postgres import PostgresServer
from delivery.postgres import migrations

Connection = psycopg.Connection[TupleRow]

# What is not PostgreSQL's default, unless somebody asks for more: it keeps when each row was
# committed.
POSTGRES_SETTINGS = {"track_commit_timestamp": "on"}
# A worker that was killed keeps its partitions so long; by default the broker allows 6 s at least.
KAFKA_SETTINGS = {"group.min.session.timeout.ms": "1000"}

TEMPLATE = "template_of_runs"


@dataclass
class Environment:
    """The servers. Topics and databases have names of their own, so that no run meets another."""

    folder: Path
    postgres: PostgresServer
    kafka: KafkaServer
    redis: RedisServer
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def settings(self, topic: str, database_url: str) -> dict[str, str]:
        """The environment of a process that reads this topic, in a consumer group of its own."""
        return {
            "DELIVERY_DATABASE_URL": database_url,
            "DELIVERY_KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "DELIVERY_KAFKA_TOPIC": topic,
            "DELIVERY_KAFKA_GROUP_ID": f"group-{next(self.numbers)}",
            "DELIVERY_LOG_LEVEL": "INFO",
            "BENCH_REDIS_PORT": str(self.redis.port),
        }

    def topic(self, partitions: int = 1) -> str:
        """A new topic."""
        name = f"bench-{next(self.numbers)}"
        admin = KafkaAdminClient(bootstrap_servers=self.kafka.bootstrap_servers)
        admin.create_topics([NewTopic(name, partitions, 1)])
        admin.close()
        return name

    def published(self, records: Iterable[Sent], partitions: int = 1) -> str:
        """A new topic with these records, put there by `delivery publish`."""
        topic = self.topic(partitions)
        self.publish(topic, records, keyed=partitions > 1)
        return topic

    def publish(self, topic: str, records: Iterable[Sent], keyed: bool = False) -> None:
        """With `keyed` the records of an order lie in one partition."""
        with tempfile.NamedTemporaryFile(dir=self.folder) as file:
            file.writelines(record.value + b"\n" for record in records)
            file.flush()
            options = ["--key-by-order"] if keyed else []
            command = [sys.executable, "-m", "delivery", "publish", file.name, *options]
            variables = processes.variables(self.settings(topic, ""))
            subprocess.run(command, env=variables, check=True, stderr=subprocess.PIPE)

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a new database with everybody's tables; it is dropped afterwards."""
        name = f"run_{next(self.numbers)}"
        _execute(self.postgres.url, _CREATE, name, TEMPLATE)
        try:
            yield _url(self.postgres, name)
        finally:
            _execute(self.postgres.url, "DROP DATABASE {} WITH (FORCE)", name)


# A copy of files would force two checkpoints, whose cost is not the contender's.
_CREATE = "CREATE DATABASE {} TEMPLATE {} STRATEGY wal_log"


@contextmanager
def opened(
    settings: Mapping[str, str] | None = None, fast_start: bool = False
) -> Iterator[Environment]:
    """Starts the servers in a temporary folder, and stops them and removes it at the end.

    `settings` are PostgreSQL's, beside its defaults. With `fast_start` the broker is up sooner and
    slower for ever: not where speed is measured.
    """
    settings = POSTGRES_SETTINGS | dict(settings or {})
    with ExitStack() as ending:
        holder = tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True)
        folder = Path(ending.enter_context(holder))
        database = postgres.start(
            folder / "postgres", settings=POSTGRES_SETTINGS | dict(settings or {})
        )
        ending.callback(database.stop)
        broker = kafka.start(folder / "kafka", settings=KAFKA_SETTINGS, fast_start=fast_start)
        ending.callback(broker.stop)
        redis = redis_server.start(folder / "redis")
        ending.callback(redis.kept.stop)
        _make_template(database)
        yield Environment(folder, database, broker, redis)


def _make_template(server: PostgresServer) -> None:
    _execute(server.url, "CREATE DATABASE {}", TEMPLATE)
    url = _url(server, TEMPLATE)
    migrations.upgrade(SecretStr(url))
    with psycopg.connect(url, autocommit=True) as connection:
        for contender in contenders.ALL:
            if ddl := contender.ddl():
                connection.execute(ddl.encode())


def _url(server: PostgresServer, name: str) -> str:
    return f"{server.url.rpartition('/')[0]}/{name}"


def _execute(url: str, statement: str, *names: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
