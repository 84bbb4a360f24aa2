"""The commands before a Kafka that asks who they are and what they may do."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from endpoints import Watched, watch
from processes import Process, wait_until
from secured_kafka import PASSWORD, SecuredKafka
from service import Service
from stream import stream

from delivery.postgres.database import Connection

SECONDS = 10.0  # for a process to start, to ask Kafka once and to end, on a busy machine
WARNED = "needs READ on"

Right = tuple[str, str, str]  # operation, kind of resource, name


@pytest.fixture
def secured(
    secured_kafka: SecuredKafka, connection: Connection, database_url: str, tmp_path: Path
) -> Iterator[Service]:
    """A service whose processes log in as `worker`; what it does itself needs no right."""
    topic = f"secured-{tmp_path.name}"
    secured_kafka.make_topic(topic)
    settings = {
        "database_url": database_url,
        "kafka_bootstrap_servers": secured_kafka.address("LOGIN"),
        "kafka_topic": topic,
        "kafka_group_id": f"group-{topic}",
        "kafka_session_timeout": "6",
        "kafka_security_protocol": "SASL_PLAINTEXT",
        "kafka_sasl_mechanism": "SCRAM-SHA-256",
        "kafka_sasl_username": "worker",
        "kafka_sasl_password": PASSWORD,
    }
    group, plain = settings["kafka_group_id"], secured_kafka.address("PLAINTEXT")
    service = Service(plain, topic, group, connection, tmp_path, settings)
    yield service
    for process in service.started:
        process.running.kill()
        process.running.wait()


@pytest.fixture
def topic(secured: Service) -> Right:
    return "READ", "TOPIC", secured.topic


@pytest.fixture
def group(secured: Service) -> Right:
    return "READ", "GROUP", secured.group


@pytest.fixture
def allow(secured_kafka: SecuredKafka) -> Iterator[Callable[..., None]]:
    """Gives the worker's user a right, until the end of the test."""
    given: list[Right] = []

    def give(*rights: Right) -> None:
        for right in rights:
            given.append(right)
            secured_kafka.allow("worker", *right)

    yield give
    for right in given:
        secured_kafka.forbid("worker", *right)


def the_line(process: Process, code: int) -> str:
    """The one line that a command says before it ends with this code."""
    begun = time.monotonic()
    assert process.exit_code() == code, process.stderr()
    assert time.monotonic() - begun < SECONDS
    (line,) = process.stderr().splitlines()
    assert PASSWORD not in line
    return line


COMMANDS = [["worker"], ["worker", "--drain"], ["publish", "-"], ["verify"]]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_refused_login_ends_every_command_at_once(secured: Service, command: list[str]) -> None:
    process = secured.command(*command, kafka_sasl_password="wrong")
    assert "refuses the login: check DELIVERY_KAFKA_SASL_USERNAME and" in the_line(process, 2)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_closed_port_is_reported_at_once_and_may_be_tried_again(
    secured: Service, command: list[str]
) -> None:
    process = secured.command(*command, kafka_bootstrap_servers="127.0.0.1:1")
    assert "nobody listens there: check DELIVERY_KAFKA_BOOTSTRAP_SERVERS" in the_line(process, 3)


def test_verify_does_not_take_what_it_may_not_see_for_proved(
    secured: Service, topic: Right, allow: Callable[..., None]
) -> None:
    secured.publish(stream(1, 10))
    process = secured.command("verify")
    assert f"user worker needs READ on topic {secured.topic}" in the_line(process, 2)
    allow(topic)
    process = secured.command("verify")
    assert f"user worker needs DESCRIBE on group {secured.group}" in the_line(process, 2)
    allow(("DESCRIBE", "GROUP", secured.group))
    process = secured.command("verify")
    assert process.exit_code() == 0, process.stderr()


def test_publish_names_the_right_that_it_lacks(secured: Service, tmp_path: Path) -> None:
    (tmp_path / "orders").write_text("{}\n")
    process = secured.command("publish", str(tmp_path / "orders"))
    assert f"user worker needs WRITE on topic {secured.topic}" in the_line(process, 2)


# A worker without a right: at its start, and when it runs


@pytest.mark.parametrize("option", [[], ["--drain"]], ids=["worker", "drain"])
def test_a_worker_that_may_not_read_the_topic_does_not_start(
    secured: Service, group: Right, allow: Callable[..., None], option: list[str]
) -> None:
    allow(group)
    worker = secured.worker(*option)
    assert worker.exit_code() == 2, worker.stderr()
    assert f"needs READ on topic {secured.topic}" in worker.stderr().splitlines()[-1]


@pytest.mark.parametrize("option", [[], ["--drain"]], ids=["worker", "drain"])
def test_a_worker_that_may_not_join_the_group_does_not_start(
    secured: Service, topic: Right, allow: Callable[..., None], option: list[str]
) -> None:
    allow(topic)
    secured.publish(stream(7, 5))
    worker = secured.worker(*option)
    assert worker.exit_code() == 2, worker.stderr()
    assert f"needs READ on group {secured.group}" in worker.stderr().splitlines()[-1]


def test_a_worker_with_its_two_rights_reads_and_commits(
    secured: Service, topic: Right, group: Right, allow: Callable[..., None]
) -> None:
    allow(topic, group)
    secured.publish(stream(2, 50))
    assert sum(secured.drain().values()) == 50
    assert secured.committed() == {0: 50}


@pytest.mark.parametrize("lost", ["topic", "group"])
def test_a_right_that_goes_while_a_worker_runs_is_waited_for(
    secured_kafka: SecuredKafka,
    secured: Service,
    topic: Right,
    group: Right,
    allow: Callable[..., None],
    lost: str,
) -> None:
    allow(topic, group)
    worker = watch(secured)
    secured.publish(stream(3, 20))
    secured.wait_until_accounted(20)
    right = topic if lost == "topic" else group
    secured_kafka.forbid("worker", *right)
    secured.publish(stream(4, 20))
    wait_for(worker, lambda: WARNED in worker.process.stderr(), "it warns")
    wait_for(worker, lambda: f"needs READ on {lost}" in str(red(worker)), "/readyz says it")
    secured_kafka.allow("worker", *right)
    secured.wait_until_accounted(40)
    wait_for(worker, lambda: red(worker) == {}, "/readyz is green again")
    assert worker.process.end() == 0


def test_a_password_that_is_changed_while_a_worker_runs_is_waited_for(
    secured_kafka: SecuredKafka,
    secured: Service,
    topic: Right,
    group: Right,
    allow: Callable[..., None],
) -> None:
    allow(topic, group)
    worker = watch(secured)
    secured.publish(stream(5, 20))
    secured.wait_until_accounted(20)
    secured_kafka.set_password("worker", "another")
    try:
        wait_for(worker, lambda: "refuses the login" in str(red(worker)), "/readyz says it")
        wait_for(worker, lambda: "refuses the login" in worker.process.stderr(), "it warns")
        assert worker.status("/healthz") == 200
    finally:
        secured_kafka.set_password("worker", PASSWORD)
    secured.publish(stream(6, 20))
    wait_for(worker, lambda: red(worker) == {}, "/readyz is green again", seconds=60)
    secured.wait_until_accounted(40)
    assert worker.process.end() == 0


def red(worker: Watched) -> dict[str, str]:
    return worker.why("/readyz")


def wait_for(
    worker: Watched, condition: Callable[[], bool], what: str, seconds: float = 30
) -> None:
    wait_until(condition, what, worker.process, seconds=seconds)
