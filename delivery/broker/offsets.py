"""How far a consumer is in its partitions: to the end, to a goal, and what was lost on the way."""

from collections.abc import Callable, Mapping

import structlog
from kafka import TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError

from delivery.broker import membership
from delivery.broker.consumer import Consumer
from delivery.domain.record import Partition
from delivery.errors import UnavailableError

log = structlog.get_logger()

TIMEOUT = 3000  # milliseconds

Assignment = frozenset[TopicPartition]
NOTHING_ASSIGNED: Assignment = frozenset()

End = Mapping[TopicPartition, int]  # for each partition the offset after the last record to read


def lags(consumer: Consumer) -> dict[Partition, int]:
    """How many offsets each of our partitions has that are not polled yet, as of its last fetch.

    A partition that was not fetched from yet is left out.
    """
    # Not by `consumer.position`: it looks at all partitions for each one, and may ask the broker.
    assigned = consumer._subscription.assignment.copy()
    return {
        (partition.topic, partition.partition): max(0, state.highwater - state.position.offset)
        for partition, state in assigned.items()
        if state.highwater is not None and state.position is not None
    }


def lost_to_retention(consumer: Consumer, before: Assignment) -> tuple[Assignment, int]:
    """How many records retention deleted unread in the partitions that are ours since `before`.

    That is from the group's committed offset to the earliest one kept: kafka-python goes on there
    without a word. Returns today's assignment, to be given the next time, and that number. Nothing
    changes while the group is joined anew: kafka-python may have no assignment then.
    """
    if membership.why_absent(consumer):
        return before, 0
    assigned = frozenset(consumer.assignment())
    lost = 0
    try:
        for partition, earliest in _earliest(consumer, assigned - before).items():
            committed = consumer.committed(partition, timeout_ms=TIMEOUT)
            if committed is not None and committed < earliest:
                log.warning(
                    "records were deleted unread by retention",
                    records=earliest - committed,
                    partition=f"{partition.topic}/{partition.partition}",
                    first_offset=committed,
                    last_offset=earliest - 1,
                )
                lost += earliest - committed
    except KafkaError as error:
        log.warning("can't tell whether retention deleted records unread", error=str(error))
    return assigned, lost


def _earliest(consumer: Consumer, partitions: Assignment) -> Mapping[TopicPartition, int]:
    if not partitions:
        return {}
    earliest: Mapping[TopicPartition, int] = consumer.beginning_offsets(
        list(partitions), timeout_ms=TIMEOUT
    )
    return earliest


def end(consumer: Consumer, topic: str) -> End:
    """The end offsets of all partitions of `topic` as of now. Raises UnavailableError."""
    partitions = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic)]
    try:
        offsets: End = consumer.end_offsets(partitions)
    except KafkaError as error:
        raise UnavailableError(f"Kafka does not tell the end of topic {topic}: {error}") from error
    return offsets


def reached(consumer: Consumer, end: End) -> bool:
    """Whether the group has read every partition up to `end`: we ours, the others theirs."""
    ours = end.keys() & consumer.assignment()
    try:  # ours first: that asks nobody
        return all(_position(consumer.position, p) >= end[p] for p in ours) and all(
            _position(consumer.committed, p) >= end[p] for p in end.keys() - ours if end[p]
        )
    except KafkaTimeoutError:
        return False


def _position(ask: Callable[..., int | None], partition: TopicPartition) -> int:
    return ask(partition, timeout_ms=TIMEOUT) or 0
