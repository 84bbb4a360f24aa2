"""A member of a real group, and when kafka-python loses track of whether it is one."""

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from processes import wait_until

from delivery.broker import consumer, membership
from delivery.broker.consumer import Consumer
from delivery.embedded.kafka import KafkaServer
from delivery.record import Record
from delivery.settings import KafkaSettings


@pytest.fixture
def topic(make_topic: Callable[[int], str]) -> str:
    return make_topic(1)


@pytest.fixture
def member(kafka_server: KafkaServer, topic: str) -> Iterator[Consumer]:
    """The only one of its group, and so its leader."""
    settings = KafkaSettings(
        kafka_bootstrap_servers=kafka_server.bootstrap_servers,
        kafka_group_id=f"group-{topic}",
        kafka_session_timeout="6",
    )
    with consumer.connected(settings, batch_size=10) as connected:
        assert consumer.join(connected, topic)
        wait_until(lambda: holds(connected, topic, 1), "it has its partition")
        yield connected


def holds(member: Consumer, topic: str, partitions: int) -> bool:
    """Polls, and tells whether it is in the group with so many partitions."""
    consumer.poll(member, timeout=0.1)
    ours = {TopicPartition(topic, number) for number in range(partitions)}
    return membership.surely_ours(member) == ours


def test_a_member_takes_part_again_whose_join_was_answered_between_two_polls(
    kafka_server: KafkaServer, topic: str, member: Consumer
) -> None:
    """kafka-python by itself would be in a rebalance for ever: see `membership.finish_joining`."""
    with closing(KafkaAdminClient(bootstrap_servers=kafka_server.bootstrap_servers)) as admin:
        admin.create_partitions({topic: 2})
    member._cluster.request_update()
    wait_until(lambda: membership.rejoin_due(member), "it knows of the new partition")
    while membership.why_absent(member) is None:
        member.poll(0)  # asks to join, and does not wait for the answer
    wait_until(lambda: not membership.rejoin_due(member), "it is answered")
    member.poll(100)
    assert membership.why_absent(member) == "the group is sharing out its partitions anew"
    wait_until(lambda: holds(member, topic, 2), "it has both partitions")


def test_a_member_that_joins_anew_reads_on_from_the_committed_offset(
    kafka_server: KafkaServer, topic: str, member: Consumer
) -> None:
    """Where it was may be behind what another has committed: see `membership.FreshPositions`."""
    with closing(KafkaProducer(bootstrap_servers=kafka_server.bootstrap_servers)) as producer:
        for _ in range(30):
            producer.send(topic, b"{}")
    read = next_read(member)
    commit = consumer.commit(member, read[:4])
    wait_until(lambda: commit is not None and commit.is_done, "the offset is committed")
    member._coordinator.request_rejoin()
    assert [record.offset for record in next_read(member)] == list(range(4, 14))


def next_read(member: Consumer) -> list[Record]:
    read: list[Record] = []

    def polled() -> bool:
        read.extend(consumer.poll(member))
        return bool(read)

    wait_until(polled, "there are records")
    return read
