"""What each command is allowed to do in Kafka, and what it says where a right is missing."""

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata
from secured_kafka import PASSWORD, SecuredKafka

from delivery.broker import committed, consumption, lag, producer, topic, transactions
from delivery.broker.producer import Outgoing, Published
from delivery.broker.topic import Topic
from delivery.check import kafka as check_kafka
from delivery.check.line import Line
from delivery.errors import ForbiddenError, UnavailableError
from delivery.settings import KafkaSettings

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

GROUP = "rights"
RECORDS = [Outgoing(n, None, json.dumps({"n": n}).encode()) for n in range(10)]

_number = itertools.count(1)

# What is given to whom, as `kafka-acls` has it: operation, kind of resource.
Right = tuple[str, str]
PUBLISH: list[Right] = [("WRITE", "TOPIC")]
VERIFY: list[Right] = [("READ", "TOPIC"), ("DESCRIBE", "GROUP")]
REWIND: list[Right] = [("READ", "TOPIC"), ("READ", "GROUP")]
ANNOUNCE: list[Right] = [("READ", "TOPIC"), ("WRITE", "TOPIC"), ("WRITE", "TRANSACTIONAL_ID")]
LAG: list[Right] = [("DESCRIBE", "TOPIC"), ("DESCRIBE", "GROUP")]

Allowed = Callable[..., KafkaSettings]


@pytest.fixture
def name(secured_kafka: SecuredKafka) -> str:
    """A topic of the test's own, with ten records of which the group has read five."""
    name = f"rights-{next(_number)}"
    secured_kafka.make_topic(name)
    everything = KafkaSettings(
        kafka_bootstrap_servers=secured_kafka.address("PLAINTEXT"), kafka_topic=name
    )
    with producer.connected(everything, Published()) as publisher:
        publisher.publish(RECORDS)
    servers = everything.kafka_bootstrap_servers
    with closing(KafkaConsumer(bootstrap_servers=servers, group_id=GROUP)) as consumer:
        consumer.commit({TopicPartition(name, 0): OffsetAndMetadata(5, "", -1)})
    return name


@pytest.fixture
def allowed(secured_kafka: SecuredKafka, name: str) -> Iterator[Allowed]:
    """Gives a user these rights and no others until the end of the test."""
    given: list[tuple[str, str, str, str]] = []

    def allow(user: str, rights: list[Right]) -> KafkaSettings:
        for operation, kind in rights:
            given.append((user, operation, kind, name if kind == "TOPIC" else GROUP))
            secured_kafka.allow(*given[-1])
        return KafkaSettings(
            kafka_bootstrap_servers=secured_kafka.address("LOGIN"),
            kafka_security_protocol="SASL_PLAINTEXT",
            kafka_sasl_mechanism="SCRAM-SHA-256",
            kafka_sasl_username=user,
            kafka_sasl_password=PASSWORD,
            kafka_topic=name,
            kafka_group_id=GROUP,
        )

    yield allow
    for right in given:
        secured_kafka.forbid(*right)


# publish


def test_publishing_needs_write_on_the_topic_alone(allowed: Allowed) -> None:
    published = Published()
    with producer.connected(allowed("publisher", PUBLISH), published) as publisher:
        publisher.publish(RECORDS)
    assert published.acknowledged == len(RECORDS)


@pytest.mark.parametrize("rights", [[], [("DESCRIBE", "TOPIC")], [("READ", "TOPIC")]])
def test_publishing_without_write_names_it(
    allowed: Allowed, name: str, rights: list[Right]
) -> None:
    published = Published()
    with (
        producer.connected(allowed("publisher", rights), published) as publisher,
        pytest.raises(ForbiddenError) as raised,
    ):
        publisher.publish(RECORDS)
    assert str(raised.value) == f"Kafka's user publisher needs WRITE on topic {name}"
    assert published.acknowledged == 0


# verify


def test_verifying_needs_read_on_the_topic_and_describe_on_the_group(
    allowed: Allowed, name: str
) -> None:
    with topic.opened(allowed("verifier", VERIFY)) as there:
        assert there.committed() == {(name, 0): 5}
        assert list(there.records(name, 0, 0, 10)) == list(range(10))


@pytest.mark.parametrize(
    ("rights", "missing"),
    [
        ([], "READ on topic {}"),
        (VERIFY[:1], f"DESCRIBE on group {GROUP}"),
        (VERIFY[1:], "READ on topic {}"),
    ],
    ids=["nothing", "no group", "no topic"],
)
def test_what_may_not_be_seen_is_not_taken_for_what_is_not_there(
    allowed: Allowed, name: str, rights: list[Right], missing: str
) -> None:
    with (
        topic.opened(allowed("verifier", rights)) as there,
        pytest.raises(ForbiddenError) as raised,
    ):
        there.committed()
    assert str(raised.value) == f"Kafka's user verifier needs {missing.format(name)}"


def test_a_topic_that_may_be_seen_and_not_read_is_reported(allowed: Allowed, name: str) -> None:
    with topic.opened(allowed("verifier", LAG)) as there:
        assert there.committed() == {(name, 0): 5}
        with pytest.raises(ForbiddenError) as raised:
            list(there.records(name, 0, 0, 5))
    assert str(raised.value) == f"Kafka's user verifier needs READ on topic {name}"


def test_a_topic_that_is_not_there_is_reported_and_not_created(secured_kafka: SecuredKafka) -> None:
    """Also by who may make topics, on a broker that makes them for whoever asks."""
    missing = f"missing-{next(_number)}"
    servers = secured_kafka.address("PLAINTEXT")
    anybody = KafkaSettings(kafka_bootstrap_servers=servers, kafka_topic=missing)
    for ask in (Topic.committed, lag.behind):
        with (
            topic.opened(anybody) as there,
            pytest.raises(UnavailableError, match=f"Kafka has no topic {missing}"),
        ):
            ask(there)
    with closing(secured_kafka.admin()) as admin:
        assert missing not in admin.list_topics()


# rewind


def test_rewinding_needs_read_on_the_topic_and_on_the_group(allowed: Allowed, name: str) -> None:
    with topic.opened(allowed("verifier", REWIND)) as there:
        there.committed()
        there.commit({(name, 0): 3})
        assert there.committed() == {(name, 0): 3}


def test_a_group_whose_offsets_may_not_be_set_is_reported(allowed: Allowed, name: str) -> None:
    with topic.opened(allowed("verifier", VERIFY)) as there:
        there.committed()
        with pytest.raises(ForbiddenError) as raised:
            there.commit({(name, 0): 3})
        assert there.committed() == {(name, 0): 5}
    assert str(raised.value) == f"Kafka's user verifier needs READ on group {GROUP}"


def test_members_that_may_not_be_seen_are_not_taken_for_none(allowed: Allowed) -> None:
    with (
        topic.opened(allowed("verifier", VERIFY[:1])) as there,
        pytest.raises(ForbiddenError) as raised,
    ):
        there.require_no_members()
    assert str(raised.value) == f"Kafka's user verifier needs DESCRIBE on group {GROUP}"


# status, serve


def test_a_status_needs_read_on_the_topic_and_describe_on_the_group(allowed: Allowed) -> None:
    with consumption.opened(allowed("verifier", VERIFY)) as look:
        seen = look()
    assert (seen.group.state, seen.group.members) == ("Empty", ())
    (partition,) = seen.partitions
    assert (partition.committed, partition.lag) == (5, 5)
    assert partition.oldest is not None


def test_a_status_without_read_on_the_topic_does_not_know_since_when_records_wait(
    allowed: Allowed,
) -> None:
    with consumption.opened(allowed("verifier", LAG)) as look:
        (partition,) = look().partitions
    assert (partition.lag, partition.oldest) == (5, None)


@pytest.mark.parametrize(
    ("rights", "missing"),
    [(LAG[:1], f"DESCRIBE on group {GROUP}"), (LAG[1:], "DESCRIBE on topic {}")],
    ids=["no group", "no topic"],
)
def test_a_status_that_may_not_be_seen_says_why(
    allowed: Allowed, name: str, rights: list[Right], missing: str
) -> None:
    with (
        pytest.raises(ForbiddenError) as raised,
        consumption.opened(allowed("verifier", rights)) as look,
    ):
        look()
    assert str(raised.value) == f"Kafka's user verifier needs {missing.format(name)}"


def test_the_lag_needs_describe_on_the_topic_and_on_the_group(allowed: Allowed, name: str) -> None:
    with topic.opened(allowed("verifier", LAG)) as there:
        (found,) = lag.behind(there)
    assert (found.topic, found.committed, found.lag) == (name, 5, 5)


@pytest.mark.parametrize(
    ("rights", "missing"),
    [(LAG[:1], f"DESCRIBE on group {GROUP}"), (LAG[1:], "DESCRIBE on topic {}")],
    ids=["no group", "no topic"],
)
def test_a_lag_that_may_not_be_seen_says_why(
    allowed: Allowed, name: str, rights: list[Right], missing: str
) -> None:
    with (
        topic.opened(allowed("verifier", rights)) as there,
        pytest.raises(ForbiddenError) as raised,
    ):
        lag.behind(there)
    assert str(raised.value) == f"Kafka's user verifier needs {missing.format(name)}"


# announce


def announce(settings: KafkaSettings) -> int:
    """Announces one record, under the group's name as transactional id, and reads the topic."""
    name = settings.kafka_topic
    with transactions.started(settings, name, GROUP) as kafka:
        kafka.publish([(b"1", b"{}")], [])
    extents = committed.state(settings, name).extents
    return sum(len(found) for found in committed.records(settings, name, extents))


def test_announcing_needs_read_and_write_on_its_topic_and_write_on_its_transactional_id(
    allowed: Allowed,
) -> None:
    assert announce(allowed("publisher", ANNOUNCE)) == len(RECORDS) + 1


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (("READ", "TOPIC"), "READ on topic"),
        (("WRITE", "TOPIC"), "WRITE on topic"),
        (("WRITE", "TRANSACTIONAL_ID"), f"WRITE on transactional id {GROUP}"),
    ],
)
def test_announcing_names_the_right_that_is_missing(
    allowed: Allowed, missing: Right, said: str
) -> None:
    settings = allowed("publisher", [right for right in ANNOUNCE if right != missing])
    with pytest.raises(ForbiddenError, match=said):
        announce(settings)


# check


def checked(settings: KafkaSettings, announce_topic: str | None = None) -> dict[str, Line]:
    return {line.check: line for line in check_kafka.lines(settings, announce_topic)}


def test_check_is_content_with_a_worker_s_rights(allowed: Allowed, name: str) -> None:
    found = checked(allowed("worker", REWIND))
    assert {line.result for line in found.values()} == {"ok"}
    assert found["broker"].text == "Kafka with 1 broker, over SASL_PLAINTEXT as worker"
    assert found["topic"].text == f"{name}: 1 partition of 1 replica"
    assert found["group"].text.startswith(f"{GROUP}: 0 members; ")


@pytest.mark.parametrize(
    ("rights", "check", "operation"),
    [
        (REWIND[1:], "topic", "Read"),
        ([("DESCRIBE", "TOPIC"), *REWIND[1:]], "topic", "Read"),
        (REWIND[:1], "group", "Read"),
        (VERIFY, "group", "Read"),
    ],
    ids=["no topic", "topic only described", "no group", "group only described"],
)
def test_check_names_the_right_that_is_missing_and_what_gives_it(
    allowed: Allowed, name: str, rights: list[Right], check: str, operation: str
) -> None:
    found = checked(allowed("worker", rights))
    failed = [line for line in found.values() if line.result == "failed"]
    assert [line.check for line in failed] == [check]
    resource = f"--topic {name}" if check == "topic" else f"--group {GROUP}"
    assert failed[0].todo == (
        f"kafka-acls.sh --add --allow-principal User:worker --operation {operation} {resource}"
    )


def test_check_wants_an_announcer_s_rights_on_its_topic(allowed: Allowed, name: str) -> None:
    found = checked(allowed("worker", REWIND), announce_topic=name)
    assert found["announce topic"].text == f"{name}: the right to WRITE is missing"


def test_check_makes_no_topic_where_there_is_none(secured_kafka: SecuredKafka) -> None:
    settings = KafkaSettings(
        kafka_bootstrap_servers=secured_kafka.address("PLAINTEXT"), kafka_topic="never-made"
    )
    for _ in range(2):
        line = checked(settings)["topic"]
        assert (line.result, line.text) == ("failed", "Kafka has no topic never-made")
    assert line.todo.startswith("correct DELIVERY_KAFKA_TOPIC, or make it: ")
