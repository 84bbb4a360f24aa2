"""One broker or several, each on a folder and a port of its own, that are killed and come back."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import KafkaError
from processes import wait_until

from delivery.embedded import kafka
from delivery.embedded.ports import HOST, free_port

OFFSETS_TOPIC = "__consumer_offsets"

# Of a cluster: a record is acknowledged when two of three brokers have it.
REPLICATED = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "share.coordinator.state.topic.replication.factor": "3",
    "share.coordinator.state.topic.min.isr": "2",
}


class Brokers:
    """All brokers of a run by their number, from 1 on."""

    def __init__(self, folder: Path, count: int, session_timeout_ms: int) -> None:
        self._folder = folder
        self._ports = dict(zip(range(1, count + 1), _free_ports(count), strict=True))
        self._settings = _settings(self._ports, session_timeout_ms)
        self._cluster_id = kafka.new_cluster_id() if count > 1 else None
        self._servers: dict[int, kafka.KafkaServer] = {}
        with ThreadPoolExecutor(count) as threads:  # one alone has no majority
            list(threads.map(self.start, self._ports))

    @property
    def addresses(self) -> str:
        """Of all of them, also those that are down."""
        return ",".join(f"{HOST}:{port}" for port in self._ports.values())

    @property
    def numbers(self) -> list[int]:
        return list(self._ports)

    def start(self, number: int) -> None:
        """Starts it, again on its port; it recovers what it has of its log."""
        self._servers[number] = kafka.start(
            self._folder / f"kafka-{number}",
            self._ports[number],
            self._settings[number],
            fast_start=True,
            cluster_id=self._cluster_id,
        )

    def stop(self, number: int) -> None:
        """A controlled shutdown: it hands over what it leads."""
        self._servers.pop(number).stop()

    def kill(self, number: int) -> None:
        """SIGKILL."""
        self._servers.pop(number).kill()

    def restart(self, number: int, crash: bool) -> None:
        self.kill(number) if crash else self.stop(number)
        self.start(number)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Connections stay, and nobody answers."""
        for server in self._servers.values():
            os.kill(server.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for server in self._servers.values():
                os.kill(server.pid, signal.SIGCONT)

    def leader(self, topic: str, partition: int = 0) -> int:
        """The broker that leads this partition; of Kafka's own topic, the group's coordinator."""
        (found,) = self._topics(topic)
        leaders = {p["partition_index"]: p["leader_id"] for p in found["partitions"]}
        return int(leaders[partition])

    def controller(self) -> int:
        """The active one."""
        with self.admin() as admin:
            quorum = admin.describe_metadata_quorum()
        return int(quorum["topics"][0]["partitions"][0]["leader_id"])

    def await_replicas(self) -> None:
        """Returns when every broker has caught up: then another may fail."""

        def in_sync() -> bool:
            try:
                partitions = [p for t in self._topics() for p in t["partitions"]]
            except KafkaError:  # it is on its way
                return False
            return all(len(p["isr_nodes"]) == len(self._ports) for p in partitions)

        wait_until(in_sync, "all replicas are in sync", seconds=60)

    def _topics(self, *names: str) -> list[Any]:
        with self.admin() as admin:
            found: list[Any] = admin.describe_topics([*names] or None)
        return found

    def close(self) -> None:
        """Kills those that are left: nobody wants their data."""
        for number in list(self._servers):
            self.kill(number)

    @contextmanager
    def admin(self) -> Iterator[Any]:
        """A client of kafka-python's that may do anything."""
        with closing(KafkaAdminClient(bootstrap_servers=self.addresses.split(","))) as admin:
            yield admin


def _free_ports(count: int) -> list[int]:
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return sorted(ports)


def _settings(ports: dict[int, int], session_timeout_ms: int) -> dict[int, dict[str, str]]:
    """Of each broker, beside those that one alone has."""
    timing = {
        "broker.session.timeout.ms": str(session_timeout_ms),
        "broker.heartbeat.interval.ms": str(session_timeout_ms // 4),
    }
    if len(ports) == 1:
        return {number: {} for number in ports}
    controllers = dict(zip(ports, _free_ports(len(ports)), strict=True))
    voters = ",".join(f"{number}@{HOST}:{port}" for number, port in controllers.items())
    return {
        number: {
            "node.id": str(number),
            "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controllers[number]}",
            "controller.quorum.voters": voters,
            **REPLICATED,
            **timing,
        }
        for number, port in ports.items()
    }
