"""A member of a real group, and when kafka-python loses track of whether it is one."""

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

import pytest
from kafka import KafkaAdminClient, TopicPartition
from kafka.cluster import ClusterMetadata
from processes import wait_until
from publishing import publish

from delivery.broker import consumer, membership, offsets
from delivery.broker.consumer import Consumer
from delivery.domain.record import Record
from delivery.embedded.kafka import KafkaServer
from delivery.settings import KafkaSettings


@pytest.fixture
def topic(make_topic: Callable[[int], str]) -> str:
    return make_topic(1)


@pytest.fixture
def settings(kafka_server: KafkaServer, topic: str) -> KafkaSettings:
    return KafkaSettings(
        kafka_bootstrap_servers=kafka_server.bootstrap_servers,
        kafka_group_id=f"group-{topic}",
        kafka_session_timeout="6",
    )


@pytest.fixture
def member(settings: KafkaSettings, topic: str) -> Iterator[Consumer]:
    """The only one of its group, and so its leader."""
    with consumer.connected(settings, batch_size=10) as connected:
        assert consumer.join(connected, topic)
        wait_until(lambda: holds(connected, topic, 1), "it has its partition")
        yield connected


def holds(member: Consumer, topic: str, partitions: int) -> bool:
    """Polls, and tells whether it is in the group with so many partitions."""
    consumer.poll(member, timeout=0.1)
    ours = {TopicPartition(topic, number) for number in range(partitions)}
    return membership.why_absent(member) is None and member.assignment() == ours


def test_a_leader_joins_once_however_late_kafka_tells_of_the_topic(
    monkeypatch: pytest.MonkeyPatch, settings: KafkaSettings, topic: str
) -> None:
    """Later than of the group, here: kafka-python does not ask for metadata twice in so long."""
    monkeypatch.setitem(ClusterMetadata.DEFAULT_CONFIG, "retry_backoff_ms", 1000)
    with consumer.connected(settings, batch_size=10) as member:
        assert consumer.join(member, topic)
        wait_until(lambda: holds(member, topic, 1), "it has its partition")
        member.topics()  # the answer that is late
        assert not membership.rejoin_due(member)


def test_a_member_takes_part_again_whose_join_was_answered_between_two_polls(
    kafka_server: KafkaServer, topic: str, member: Consumer
) -> None:
    """kafka-python by itself would be in a rebalance for ever: see `membership.finish_joining`."""
    for partitions in range(2, 12):
        with closing(KafkaAdminClient(bootstrap_servers=kafka_server.bootstrap_servers)) as admin:
            admin.create_partitions({topic: partitions})
        if is_lost_in_a_rebalance(member):
            break
        wait_until(partial(holds, member, topic, partitions), "it has the new partition")
    assert membership.why_absent(member) == "the group is sharing out its partitions anew"
    wait_until(lambda: holds(member, topic, partitions), "it has all partitions")


def is_lost_in_a_rebalance(member: Consumer) -> bool:
    """Whether polling by itself does not end the join that new partitions ask for.

    It does where the news of them came twice.
    """
    member._cluster.request_update()
    wait_until(lambda: membership.rejoin_due(member), "it knows of the new partition")
    while membership.why_absent(member) is None:
        member.poll(0)  # asks to join, and does not wait for the answer
    wait_until(lambda: not membership.rejoin_due(member), "it is answered")
    member.poll(100)
    return membership.why_absent(member) is not None


def test_a_member_that_joins_anew_reads_on_from_the_committed_offset(
    kafka_server: KafkaServer, topic: str, member: Consumer
) -> None:
    """Where it was may be behind what another has committed: see `membership.FreshPositions`."""
    publish(kafka_server, topic, *[b"{}"] * 30)
    commit(member, read(member, 4)[3])
    member._coordinator.request_rejoin()
    assert read(member, 1)[0].offset == 4


def test_records_that_retention_deleted_are_not_counted_again_after_a_join(
    kafka_server: KafkaServer, topic: str, member: Consumer
) -> None:
    publish(kafka_server, topic, *[b"{}"] * 30)
    commit(member, read(member, 4)[3])
    with closing(KafkaAdminClient(bootstrap_servers=kafka_server.bootstrap_servers)) as admin:
        admin.delete_records({TopicPartition(topic, 0): 7})
    wait_until(lambda: holds(member, topic, 1), "it is in its group")
    assigned, lost = offsets.lost_to_retention(member, offsets.NOTHING_ASSIGNED)
    member._coordinator.reset_generation()  # as after an eviction: it has no assignment then
    member.poll(0)
    assert membership.why_absent(member)
    assigned, lost_meanwhile = offsets.lost_to_retention(member, assigned)
    wait_until(lambda: holds(member, topic, 1), "it has joined anew")
    assert (lost, lost_meanwhile) == (3, 0)
    assert offsets.lost_to_retention(member, assigned) == (assigned, 0)


def commit(member: Consumer, record: Record) -> None:
    def is_committed() -> bool:
        consumer.poll(member, timeout=0.1)  # it may join anew by itself
        consumer.wait_for(consumer.commit(member, [record]))
        return bool(member.committed(TopicPartition(*record[:2])) == record.offset + 1)

    wait_until(is_committed, "the offset is committed")


def read(member: Consumer, number: int) -> list[Record]:
    """Polls until there are so many records, each once although it may join anew by itself."""
    read: dict[int, Record] = {}

    def are_there() -> bool:
        read.update((record.offset, record) for record in consumer.poll(member))
        return len(read) >= number

    wait_until(are_there, "there are records")
    return [read[offset] for offset in sorted(read)]
