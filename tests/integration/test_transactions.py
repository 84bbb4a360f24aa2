"""Kafka transactions, and what a reader of committed records sees of them, on a real broker."""

from collections.abc import Callable
from contextlib import closing

import pytest
from kafka import KafkaProducer
from kafka.errors import KafkaError
from kafka.partitioner.default import DefaultPartitioner

from delivery.broker import committed, transactions
from delivery.broker.committed import Extent, Found
from delivery.broker.record_batch import KeyValue
from delivery.broker.transactions import PartitionOffset
from delivery.embedded.kafka import KafkaServer
from delivery.errors import FencedError, SettingsError, UnavailableError
from delivery.settings import KafkaSettings

HEADERS = [("__TypeId__", b"a.B")]


@pytest.fixture
def kafka(kafka_server: KafkaServer) -> KafkaSettings:
    return KafkaSettings(kafka_bootstrap_servers=kafka_server.bootstrap_servers)


@pytest.fixture
def topic(make_topic: Callable[[int], str]) -> str:
    return make_topic(3)


def records(first: int, count: int, size: int = 0) -> list[KeyValue]:
    numbers = range(first, first + count)
    return [(str(n).encode(), f"value {n}".encode().ljust(size, b".")) for n in numbers]


def found(kafka: KafkaSettings, topic: str) -> dict[PartitionOffset, KeyValue]:
    """The committed records by their offsets."""
    extents = committed.state(kafka, topic).extents
    portions = committed.records(kafka, topic, extents)
    everything: list[Found] = [record for portion in portions for record in portion]
    return {
        PartitionOffset(r.partition, r.offset): (r.key or b"", r.value or b"") for r in everything
    }


def test_records_lie_where_it_says_in_the_partition_of_their_key(
    kafka: KafkaSettings, topic: str
) -> None:
    with transactions.started(kafka, topic, topic) as producer:
        first = producer.publish(records(0, 1000), HEADERS)
        second = producer.publish(records(0, 500), HEADERS)
    there = found(kafka, topic)
    assert there == dict(zip([*first, *second], [*records(0, 1000), *records(0, 500)], strict=True))
    with closing(KafkaProducer(bootstrap_servers=kafka.kafka_bootstrap_servers)) as other:
        assert isinstance(other.config["partitioner"], DefaultPartitioner)
        for key, value in records(0, 20):
            at = other.send(topic, value, key).get(10)
            assert at.partition == first[int(key)].partition


def test_a_transaction_larger_than_a_batch_is_one_all_the_same(
    kafka: KafkaSettings, topic: str
) -> None:
    large = records(0, 40, size=transactions.BATCH_BYTES // 4)
    with transactions.started(kafka, topic, topic) as producer:
        offsets = producer.publish(large, HEADERS)
    assert found(kafka, topic) == dict(zip(offsets, large, strict=True))


def test_what_is_not_committed_nobody_sees_and_the_next_one_makes_an_end_of_it(
    kafka: KafkaSettings, topic: str
) -> None:
    with transactions.started(kafka, topic, topic) as producer:
        producer.begin()
        producer.send(records(0, 10), HEADERS)
    with transactions.started(kafka, topic, topic) as producer:
        assert found(kafka, topic) == {}
        offsets = producer.publish(records(10, 10), HEADERS)
    assert found(kafka, topic).keys() == set(offsets)


def test_a_producer_is_fenced_by_the_next_one_of_its_id(kafka: KafkaSettings, topic: str) -> None:
    with transactions.started(kafka, topic, topic) as frozen:
        first = frozen.publish(records(0, 10), HEADERS)
        with transactions.started(kafka, topic, topic) as successor:
            with pytest.raises(FencedError, match=f"another announcer uses .* {topic}"):
                frozen.publish(records(10, 10), HEADERS)
            second = successor.publish(records(20, 10), HEADERS)
    assert found(kafka, topic).keys() == {*first, *second}


def test_a_transaction_that_was_under_way_when_it_was_fenced_is_never_committed(
    kafka: KafkaSettings, topic: str
) -> None:
    with transactions.started(kafka, topic, topic) as frozen:
        frozen.begin()
        frozen.send(records(0, 10), HEADERS)
        with transactions.started(kafka, topic, topic) as successor:
            with pytest.raises(KafkaError):
                frozen.commit()
            offsets = successor.publish(records(10, 10), HEADERS)
    assert found(kafka, topic).keys() == set(offsets)


def test_somebody_elses_open_transaction_holds_the_records_back_and_that_is_said(
    kafka: KafkaSettings, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committed, "READ_TIMEOUT_S", 1.5)
    with (
        transactions.started(kafka, topic, f"{topic}-other") as other,
        transactions.started(kafka, topic, topic) as producer,
    ):
        other.begin()
        other.send(records(0, 100), HEADERS)
        producer.publish(records(100, 100), HEADERS)
        with pytest.raises(UnavailableError, match="does somebody else's transaction not end"):
            found(kafka, topic)
        other.commit()
        assert len(found(kafka, topic)) == 200


def test_the_state_of_a_topic_is_its_id_and_extents(kafka: KafkaSettings, topic: str) -> None:
    state = committed.state(kafka, topic)
    assert state.topic_id.int
    assert state.extents == dict.fromkeys(range(3), Extent(0, 0))
    with pytest.raises(SettingsError, match="Kafka has no topic none-such"):
        committed.state(kafka, "none-such")
