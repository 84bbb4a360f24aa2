"""How far a group is behind, asked from outside: nobody joins it, and nothing is committed."""

from dataclasses import dataclass

from kafka import TopicPartition

from delivery.broker import options
from delivery.broker.topic import REQUEST_TIMEOUT, Topic
from delivery.errors import UnavailableError


@dataclass(frozen=True)
class Behind:
    """A partition. `committed` is None where the group has committed no offset (yet).

    `lag` is the number of offsets that are not committed; transactions' markers count too.
    """

    topic: str
    partition: int
    committed: int | None
    end: int
    lag: int


def behind(topic: Topic) -> list[Behind]:
    """Every partition of the topic. Raises UnavailableError, SettingsError."""
    name = topic.settings.kafka_topic
    with options.errors_translated(topic.settings):
        if name not in topic.consumer.topics():  # kafka-python would have the broker make it
            raise UnavailableError(f"Kafka has no topic {name}: check DELIVERY_KAFKA_TOPIC")
        partitions = [TopicPartition(name, p) for p in topic.consumer.partitions_for_topic(name)]
        begins = topic.consumer.beginning_offsets(partitions, timeout_ms=REQUEST_TIMEOUT)
        ends = topic.consumer.end_offsets(partitions, timeout_ms=REQUEST_TIMEOUT)
        committed = {p: topic.consumer.committed(p, timeout_ms=REQUEST_TIMEOUT) for p in partitions}
    return [_behind(p, committed[p], begins[p], ends[p]) for p in sorted(partitions)]


def _behind(partition: TopicPartition, committed: int | None, begin: int, end: int) -> Behind:
    reached = begin if committed is None else max(committed, begin)  # what is deleted is no work
    return Behind(partition.topic, partition.partition, committed, end, max(0, end - reached))
