"""A leader is lost, and a replica that lacks its last records is elected: an unclean election."""

import gc
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from brokers import Brokers
from kafka.admin import NewTopic
from kafka.errors import KafkaError
from processes import wait_until
from service import Service
from stream import Sent
from test_commands import delivery

from delivery.postgres.database import Connection

TOPIC, GROUP = "orders", "delivery"
EVENT = b'{"event": {"orderId": %d}, "createdAt": [2026,1,1,0,0]}'
LEADER, FOLLOWER = 1, 2  # the third broker has no replica: it is for the majority of controllers
UNCLEAN = {"unclean.leader.election.enable": "true", "min.insync.replicas": "1"}
REPLACED = "an unclean leader election replaced records: reading on from there"

# kafka-python leaves the sockets of failed connections to the garbage collector.
pytestmark = [
    pytest.mark.alone,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


class Cluster(Service):
    """A service on three brokers of its own, two of which have replicas of both partitions."""

    brokers: Brokers

    def events(self, partition: int, first: int, number: int) -> None:
        """Publishes the events of so many orders."""
        now = round(time.time() * 1000)
        self.publish(
            Sent(partition, None, EVENT % n, now, None) for n in range(first, first + number)
        )

    def await_deliveries(self, number: int) -> None:
        def are_there() -> bool:
            found = self.connection.execute("SELECT count(*) FROM deliveries").fetchone()
            return found == (number,)

        wait_until(are_there, f"{number} deliveries are there", *self.started)

    def lose_the_follower(self) -> None:
        self.brokers.kill(FOLLOWER)
        wait_until(lambda: self._states("isr_nodes") == [[LEADER]] * 2, "it is out of sync")

    def elect_the_follower(self) -> None:
        """The leader is lost for good, and the replica that lacks records leads."""
        self.brokers.kill(LEADER)
        self.brokers.start(FOLLOWER)
        wait_until(lambda: self._states("leader_id") == [FOLLOWER] * 2, "it leads")

    def _states(self, name: str) -> list[object]:
        try:
            with self.brokers.admin() as admin:
                (topic,) = admin.describe_topics([TOPIC])
        except KafkaError:  # its broker is on its way
            return []
        return [partition[name] for partition in topic["partitions"]]

    def verify(self) -> tuple[int, list[dict[str, object]]]:
        done = delivery("verify", "--format", "json", **self.settings)
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def cluster(
    tmp_path: Path,
    connection: Connection,
    database_url: str,
    caplog: pytest.LogCaptureFixture,
) -> Iterator[Cluster]:
    caplog.set_level(logging.CRITICAL, logger="kafka")  # what is captured would hold the sockets
    brokers = Brokers(tmp_path, 3, session_timeout_ms=2000)
    settings = {
        "database_url": database_url,
        "kafka_bootstrap_servers": brokers.addresses,
        "kafka_topic": TOPIC,
        "kafka_group_id": GROUP,
        "kafka_session_timeout": "6",
    }
    with brokers.admin() as admin:
        replicas = {0: [LEADER, FOLLOWER], 1: [LEADER, FOLLOWER]}
        admin.create_topics([NewTopic(TOPIC, -1, -1, replicas, UNCLEAN)])
    cluster = Cluster(brokers.addresses, TOPIC, GROUP, connection, tmp_path, settings)
    cluster.brokers = brokers
    yield cluster
    for process in cluster.started:
        process.running.kill()
        process.running.wait()
    brokers.close()
    gc.collect()  # else the sockets are warned of in another test


def test_records_at_the_offsets_of_lost_ones_are_processed(cluster: Cluster) -> None:
    """More new records than were lost lie in one partition, fewer in the other."""
    worker = cluster.worker()
    cluster.events(0, 1, 100)
    cluster.events(1, 101, 100)
    cluster.await_deliveries(200)
    cluster.lose_the_follower()
    cluster.events(0, 201, 50)
    cluster.events(1, 251, 50)
    cluster.await_deliveries(300)
    wait_until(lambda: cluster.committed() == {0: 150, 1: 150}, "it is committed", worker)
    cluster.elect_the_follower()
    cluster.events(0, 301, 80)
    cluster.events(1, 401, 20)
    cluster.await_deliveries(400)
    wait_until(lambda: cluster.committed() == {0: 180, 1: 120}, "it is committed", worker)
    assert worker.end() == 0
    told = [line for line in worker.warnings() if line["event"] == REPLACED]
    assert sorted((line["partition"], line["offset"]) for line in told) == [
        ("orders/0", 100),
        ("orders/1", 100),
    ]
    code, findings = cluster.verify()
    assert code == 1
    assert [finding["finding"] for finding in findings] == ["coordinates_twice"] * 70
    assert all("unclean leader election" in str(finding["detail"]) for finding in findings)


def test_a_worker_that_was_down_meanwhile_reads_them_too(cluster: Cluster) -> None:
    cluster.events(0, 1, 100)
    cluster.events(1, 101, 100)
    assert cluster.drain() == {"created": 200}
    cluster.lose_the_follower()
    cluster.events(0, 201, 50)
    cluster.events(1, 251, 50)
    assert cluster.drain() == {"created": 100}
    cluster.elect_the_follower()
    cluster.events(0, 301, 80)
    cluster.events(1, 401, 20)
    assert cluster.drain()["created"] == 100
    cluster.await_deliveries(400)
    assert cluster.committed() == {0: 180, 1: 120}
