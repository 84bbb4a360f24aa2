"""`delivery announce` while its servers are restarted and crash under it."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import processes
import pytest
from announced import assert_announced_once, open_rows
from environment import GROUP, TOPIC, Environment
from kafka.admin import NewTopic
from processes import end_all, wait_until
from pydantic import SecretStr
from service import Service
from stream import stream
from tables import accounted

from delivery.postgres import database

ANNOUNCED = "deliveries"
RECORDS = 300  # published before each outage


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Environment]:
    """Servers of the test's own, with a topic for announcements."""
    made = Environment(tmp_path)
    with made.brokers.admin() as admin:
        admin.create_topics([NewTopic(ANNOUNCED, 2, 1)])
    yield made
    made.close()


def test_restarts_and_crashes_of_both_servers_announce_each_delivery_once(
    environment: Environment,
) -> None:
    outages = [
        lambda: environment.restart_database(crash=False),
        lambda: environment.brokers.restart(1, crash=False),
        lambda: environment.restart_database(crash=True),
        lambda: environment.brokers.restart(1, crash=True),
    ]
    settings = environment.settings() | {"announce_topic": ANNOUNCED}
    worker, announcer = started = [
        processes.start(environment.folder / name, ["-m", "delivery", name], settings)
        for name in ("worker", "announce")
    ]
    wait_until(lambda: '"consuming"' in worker.stderr(), "the worker has started", worker)
    wait_until(lambda: '"announcing"' in announcer.stderr(), "it has the turn", announcer)
    sent = stream(44, RECORDS * len(outages))
    for number, outage in enumerate(outages):
        with connected(environment) as service:
            service.publish(sent[number * RECORDS : (number + 1) * RECORDS])
        outage()  # while both are at it
        expected = (number + 1) * RECORDS
        wait_until(partial(is_announced, environment, expected), "all is announced", *started)
    assert end_all(started) == [0, 0]
    with connected(environment) as service:
        assert_announced_once(service, ANNOUNCED)


def is_announced(environment: Environment, records: int) -> bool:
    """Whether so many records are accounted for, and nothing is open."""
    with connected(environment) as service:
        return accounted(service.connection) == records and open_rows(service) == 0


@contextmanager
def connected(environment: Environment) -> Iterator[Service]:
    """The service, with a connection of the moment: none lives longer than the database does."""
    with database.connect(SecretStr(environment.database_url), "test") as connection:
        yield Service(
            environment.brokers.addresses, TOPIC, GROUP, connection, environment.folder, {}
        )
