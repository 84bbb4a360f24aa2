"""A member of a real group: whether it is one, where it reads, and a topic that is not the same."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

import pytest
import structlog
from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import NewTopic
from kafka.cluster import ClusterMetadata
from processes import wait_until
from publishing import publish, recreate

from delivery.broker import consumer, internals
from delivery.broker.consumer import GroupConsumer
from delivery.broker.start import RECREATED
from delivery.domain.record import UNKNOWN_TOPIC_ID, Record
from delivery.embedded.kafka import KafkaServer
from delivery.errors import SettingsError
from delivery.settings import KafkaSettings


@pytest.fixture
def topic(make_topic: Callable[[int], str]) -> str:
    return make_topic(1)


@pytest.fixture
def settings(kafka_server: KafkaServer, topic: str) -> KafkaSettings:
    return KafkaSettings(
        kafka_bootstrap_servers=kafka_server.bootstrap_servers,
        kafka_topic=topic,
        kafka_group_id=f"group-{topic}",
        kafka_session_timeout="6",
    )


@pytest.fixture
def member(settings: KafkaSettings) -> Iterator[GroupConsumer]:
    """The only one of its group, and so its leader."""
    with joined(settings) as member:
        yield member


@pytest.fixture
def admin(kafka_server: KafkaServer) -> Iterator[KafkaAdminClient]:
    with closing(KafkaAdminClient(bootstrap_servers=kafka_server.bootstrap_servers)) as client:
        yield client


@contextmanager
def joined(settings: KafkaSettings) -> Iterator[GroupConsumer]:
    """A member that has its partition."""
    with consumer.connected(settings, batch_size=500) as member:
        member.join()
        wait_until(lambda: holds(member, 1), "it has its partition")
        yield member


def holds(member: GroupConsumer, partitions: int) -> bool:
    """Polls, and tells whether it is in the group with so many partitions."""
    member.poll(0.1)
    return is_in_group(member, partitions)


def is_in_group(member: GroupConsumer, partitions: int) -> bool:
    ours = {TopicPartition(member.topic, number) for number in range(partitions)}
    return member.absent_because() is None and member._consumer.assignment() == ours


def read(member: GroupConsumer, number: int) -> list[Record]:
    """Polls until there are so many records, each once although it may join anew by itself."""
    read: dict[tuple[object, int], Record] = {}

    def are_there() -> bool:
        read.update(((record.topic_id, record.offset), record) for record in member.poll(0.2))
        return len(read) >= number

    wait_until(are_there, f"there are {number} records")
    return sorted(read.values(), key=lambda record: record.offset)


def commit(member: GroupConsumer, record: Record) -> None:
    def is_committed() -> bool:
        member.poll(0.1)  # it may join anew by itself
        member.commit([record])
        member.wait()
        committed = member._consumer.committed(TopicPartition(*record.topic_partition))
        return bool(committed == record.offset + 1)

    wait_until(is_committed, "the offset is committed")


def warnings(logged: list[Any], event: str) -> int:
    return sum(line["event"] == event for line in logged)


# Membership


def test_a_leader_joins_once_however_late_kafka_tells_of_the_topic(
    monkeypatch: pytest.MonkeyPatch, settings: KafkaSettings
) -> None:
    """Later than of the group, here: kafka-python does not ask for metadata twice in so long."""
    monkeypatch.setitem(ClusterMetadata.DEFAULT_CONFIG, "retry_backoff_ms", 1000)
    with joined(settings) as member:
        member._consumer.topics()  # the answer that is late
        assert not internals.is_rejoin_due(member._consumer)


def test_an_answer_from_before_the_subscription_is_no_proof_that_there_is_no_topic(
    monkeypatch: pytest.MonkeyPatch, settings: KafkaSettings
) -> None:
    with consumer.connected(settings, batch_size=10) as member:
        cluster = member._consumer._cluster
        ask = cluster.metadata_request
        under_way = iter([ask()])  # for no topic
        monkeypatch.setattr(cluster, "metadata_request", lambda: next(under_way, None) or ask())
        member.join(wait_for_topic=False)
        assert next(under_way, None) is None


def test_a_member_takes_part_again_whose_join_was_answered_between_two_polls(
    admin: KafkaAdminClient, topic: str, member: GroupConsumer
) -> None:
    """kafka-python by itself would be in a rebalance for ever: see `internals.finish_joining`."""
    for partitions in range(2, 12):
        admin.create_partitions({topic: partitions})
        if is_lost_in_a_rebalance(member):
            break
        wait_until(partial(holds, member, partitions), "it has the new partition")
    assert member.absent_because() == "the group is sharing out its partitions anew"
    wait_until(lambda: holds(member, partitions), "it has all partitions")


def is_lost_in_a_rebalance(member: GroupConsumer) -> bool:
    """Whether polling by itself does not end the join that new partitions ask for.

    It does where the news of them came twice.
    """
    inner = member._consumer
    inner._cluster.request_update()
    wait_until(lambda: internals.is_rejoin_due(inner), "it knows of the new partition")
    while internals.why_absent(inner) is None:
        inner.poll(0)  # asks to join, and does not wait for the answer
    wait_until(lambda: not internals.is_rejoin_due(inner), "it is answered")
    inner.poll(100)
    return internals.why_absent(inner) is not None


def test_a_renamed_part_of_kafka_python_is_refused_at_the_start_with_one_line(
    monkeypatch: pytest.MonkeyPatch, settings: KafkaSettings
) -> None:
    monkeypatch.delattr("kafka.coordinator.consumer.ConsumerCoordinator.need_rejoin")
    monkeypatch.delattr("kafka.coordinator.base.BaseCoordinator.need_rejoin")
    with (
        pytest.raises(SettingsError, match=r"has no _coordinator\.need_rejoin, .* install kafka-"),
        consumer.connected(settings, batch_size=10),
    ):
        pass


# Positions


def test_a_member_that_joins_anew_reads_on_from_the_committed_offset(
    kafka_server: KafkaServer, topic: str, member: GroupConsumer
) -> None:
    """Where it was may be behind what another has committed."""
    publish(kafka_server, topic, *[b"{}"] * 30)
    commit(member, read(member, 30)[3])
    member._consumer._coordinator.request_rejoin()
    assert read(member, 1)[0].offset == 4


def test_records_that_retention_deleted_are_not_counted_again_after_a_join(
    kafka_server: KafkaServer, admin: KafkaAdminClient, topic: str, member: GroupConsumer
) -> None:
    publish(kafka_server, topic, *[b"{}"] * 30)
    commit(member, read(member, 30)[3])
    admin.delete_records({TopicPartition(topic, 0): 7})
    for _ in range(2):
        member._consumer._coordinator.request_rejoin()
        assert read(member, 1)[0].offset == 7
    assert (member.lost_to_retention(), member.lost_to_retention()) == (3, 0)


def test_records_that_retention_deletes_while_a_member_reads_are_counted(
    kafka_server: KafkaServer, admin: KafkaAdminClient, topic: str, member: GroupConsumer
) -> None:
    publish(kafka_server, topic, *[b"{}"] * 30)
    records = read(member, 30)
    member.rewind(records[4:])
    admin.delete_records({TopicPartition(topic, 0): 10})
    assert read(member, 20)[0].offset == 10
    assert member.lost_to_retention() == 6


# A topic that is not the same


@pytest.mark.parametrize("count", [200, 50, 30])
def test_a_topic_that_was_made_anew_is_read_from_its_beginning_with_one_warning(
    kafka_server: KafkaServer, admin: KafkaAdminClient, topic: str, member: GroupConsumer,
    count: int,
) -> None:  # fmt: skip
    """With more records than the position says, with as many, and with fewer."""
    publish(kafka_server, topic, *[b"{}"] * 50)
    old = read(member, 50)
    commit(member, old[-1])
    member.idle(0.1)  # as while the database is away
    recreate(admin, topic)
    publish(kafka_server, topic, *[b"{}"] * count)
    with structlog.testing.capture_logs() as logged:
        new = read(member, count)
    assert [record.offset for record in new] == list(range(count))
    assert {record.topic_id for record in new}.isdisjoint({old[0].topic_id, UNKNOWN_TOPIC_ID})
    assert warnings(logged, RECREATED) == 1


def test_a_batch_of_the_deleted_topic_puts_back_no_position_of_the_new_one(
    kafka_server: KafkaServer, admin: KafkaAdminClient, topic: str, member: GroupConsumer
) -> None:
    publish(kafka_server, topic, *[b"{}"] * 50)
    in_hand = read(member, 50)
    recreate(admin, topic)
    publish(kafka_server, topic, *[b"{}"] * 80)
    new = read(member, 80)
    member.commit(in_hand)
    member.rewind(in_hand)
    member.wait()
    assert member._consumer.committed(TopicPartition(topic, 0)) is None
    member.rewind(new[60:])
    assert read(member, 20)[0].offset == 60


def test_an_offset_of_the_deleted_topic_is_not_gone_on_from_by_a_member_that_joins(
    kafka_server: KafkaServer, admin: KafkaAdminClient, topic: str, settings: KafkaSettings
) -> None:
    """Kafka takes the commit of a worker that has not noticed yet: by the topic's name."""
    publish(kafka_server, topic, *[b"{}"] * 50)
    with joined(settings) as member:
        old = read(member, 50)
        recreate(admin, topic)
        publish(kafka_server, topic, *[b"{}"] * 80)
        member.commit(old)
        member.wait()
    with structlog.testing.capture_logs() as logged, joined(settings) as member:
        assert read(member, 80)[0].offset == 0
    assert warnings(logged, RECREATED) == 1


def test_a_deleted_topic_is_missed_and_never_made(
    kafka_server: KafkaServer, admin: KafkaAdminClient, topic: str, member: GroupConsumer
) -> None:
    publish(kafka_server, topic, b"{}")
    commit(member, read(member, 1)[0])
    admin.delete_topics([topic])
    missing = f"Kafka has no topic {topic}: check DELIVERY_KAFKA_TOPIC"

    def is_missed() -> bool:
        member.poll(0.1)
        return member.absent_because() == missing

    with structlog.testing.capture_logs() as logged:
        wait_until(is_missed, "it is missed")
        for _ in range(20):
            member.poll(0.1)
    assert warnings(logged, missing) >= 1
    assert topic not in admin.list_topics()
    admin.create_topics([NewTopic(topic, 1, 1)])
    publish(kafka_server, topic, *[b"{}"] * 3)
    assert [record.offset for record in read(member, 3)] == [0, 1, 2]
    assert member.absent_because() is None
