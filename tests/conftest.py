"""Real servers for the tests: one of each a session, and a database and a topic for each test."""

import gc
import itertools
import shutil
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import aot_cache
import psycopg
import pytest
import secured_kafka as secured
from kafka import KafkaAdminClient
from kafka.admin import NewTopic
from kafka.errors import TopicAlreadyExistsError
from psycopg import sql
from pydantic import SecretStr
from quiet_broker import QUIET
from secured_kafka import SecuredKafka

from delivery.embedded import kafka, postgres
from delivery.embedded.kafka import KafkaServer
from delivery.embedded.postgres import PostgresServer
from delivery.postgres import database, migrations
from delivery.postgres.database import Connection
from delivery.postgres.tables import metadata

pytest_plugins = ["lanes"]

# A shell's background job ignores SIGINT, and what it starts would too.
signal.signal(signal.SIGINT, signal.default_int_handler)

aot_cache.use()

_number = itertools.count(1)

# Each test copies a database. In memory that takes a third of the time.
_MEMORY = Path("/dev/shm")
_MEMORY_NEEDED = 6 * 2**30  # bytes for several processes of tests, with room for the system


def _in_memory() -> str | None:
    """Where PostgreSQL's data lies: in memory if the machine has enough of it."""
    return (
        str(_MEMORY)
        if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _MEMORY_NEEDED
        else None
    )


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """Not in pytest's own temporary folder: a second pytest takes the servers' rights to that."""
    with tempfile.TemporaryDirectory(prefix="delivery-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with tempfile.TemporaryDirectory(
        prefix="delivery-", dir=_in_memory(), ignore_cleanup_errors=True
    ) as folder:
        server = postgres.start(Path(folder), settings={"fsync": "off"})
        yield server
        server.stop()


@pytest.fixture(scope="session")
def trained_java(server_folder: Path) -> None:
    """Brokers start faster from now on: of this process, and of those that it starts."""
    aot_cache.make_and_use(server_folder / "training")


@pytest.fixture(scope="session")
def kafka_server(server_folder: Path, trained_java: None) -> Iterator[KafkaServer]:
    # A worker that was killed keeps its partitions so long; Kafka's default is 6 s at least.
    settings = QUIET | {"group.min.session.timeout.ms": "1000"}
    server = kafka.start(server_folder / "kafka", settings=settings, fast_start=True)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def secured_broker(server_folder: Path, trained_java: None) -> Iterator[SecuredKafka]:
    running = secured.start(server_folder / "secured")
    yield running
    running.server.stop()


@pytest.fixture
def secured_kafka(secured_broker: SecuredKafka) -> Iterator[SecuredKafka]:
    """A second broker, with TLS, logins and rights."""
    yield secured_broker
    # kafka-python leaves the sockets of failed connections to the garbage collector, which would
    # warn of them in another test.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="session")
def migrated_template(postgres_server: PostgresServer) -> str:
    """The name of a database that the migrations built; each test has a clone of it."""
    name = "migrated_template"
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    migrations.upgrade(SecretStr(_sibling(postgres_server.url, name)))
    return name


@pytest.fixture
def empty_database_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A database without tables."""
    with _created(postgres_server.url, "template0") as url:
        yield url


@pytest.fixture
def database_url(postgres_server: PostgresServer, migrated_template: str) -> Iterator[str]:
    """A migrated database of the test's own."""
    with _created(postgres_server.url, migrated_template) as url:
        yield url


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    """A connection to the test's own database, in autocommit mode."""
    with database.connect(SecretStr(database_url), "test") as connection:
        yield connection


@pytest.fixture
def contents(connection: Connection) -> Callable[[], dict[str, list[str]]]:
    """Reads every row of every table, with the transaction that wrote it.

    Two answers are equal only if nothing was written in between, not even the same again.
    """

    def read() -> dict[str, list[str]]:
        return {name: _rows(connection, name) for name in metadata.tables}

    return read


@pytest.fixture
def make_topic(kafka_server: KafkaServer) -> Callable[[int], str]:
    """Makes a topic of the test's own with so many partitions, and returns its name."""

    def make(partitions: int = 1) -> str:
        name = f"orders-{next(_number)}"
        admin = KafkaAdminClient(bootstrap_servers=kafka_server.bootstrap_servers)
        try:
            admin.create_topics([NewTopic(name, partitions, 1)])
        except TopicAlreadyExistsError:
            pass  # nobody else has this name: the client asked twice, as the answer was slow
        finally:
            admin.close()
        return name

    return make


def _rows(connection: Connection, table: str) -> list[str]:
    query = sql.SQL("SELECT xmin::text || t::text FROM {} AS t").format(sql.Identifier(table))
    return sorted(row for (row,) in connection.execute(query))


@contextmanager
def _created(server_url: str, template: str) -> Iterator[str]:
    name = f"test_{next(_number)}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
        yield _sibling(server_url, name)
        drop = sql.SQL("DROP DATABASE {} WITH (FORCE)")
        connection.execute(drop.format(sql.Identifier(name)))


def _sibling(server_url: str, name: str) -> str:
    return f"{server_url.rpartition('/')[0]}/{name}"
