"""What the contenders share: the poll loop of the ordinary consumer. The worker has its own."""

import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any, TypeAlias

import structlog
from kafka import KafkaConsumer, TopicPartition

from delivery import log, settings
from delivery.broker import consumer, options
from delivery.domain.event import Contract
from delivery.worker.loop import collect_garbage_rarely
from delivery.worker.shutdown import stop_on_signals

ConsumerRecord: TypeAlias = Any  # kafka-python's

CONTRACT = Contract(max_future_skew=timedelta(minutes=5))

KAFKA_DEFAULT_POLL = 500  # max.poll.records, as Kafka's own client and Spring leave it
POLL_TIMEOUT = 1000  # milliseconds


def polls(batch_size: int, announced: bool = True) -> Iterator[list[ConsumerRecord]]:
    """The records of each poll. Their offsets are committed, and waited for, when the caller asks
    for the next ones: after each poll, as Spring Kafka's AckMode.BATCH does by default.

    The consumer's options are the worker's, but for the records per poll.
    """
    kafka = settings.load(settings.KafkaSettings)
    log.configure("INFO")
    count = 0
    group = consumer.group_options(kafka, batch_size) | {"auto_offset_reset": "earliest"}
    with (
        stop_on_signals() as stop,
        closing(options.connect(KafkaConsumer, kafka, **group)) as member,
    ):
        member.subscribe([kafka.kafka_topic])
        end = _end(member, kafka.kafka_topic) if "--drain" in sys.argv else {}
        collect_garbage_rarely()
        if announced:
            announce_start()
        while not stop.requested and not (end and _has_reached(member, end)):
            batch = _poll(member)
            if batch:
                yield batch
                member.commit()  # the positions: after the records of the last poll
                count += len(batch)
        if announced:
            announce_end(count)


def announce_start() -> None:
    """The clock starts: the next thing is the first poll."""
    structlog.get_logger().info("consuming")


def announce_end(records: int) -> None:
    """The last record is done."""
    structlog.get_logger().info("stopped", records=records)


def _end(member: KafkaConsumer, topic: str) -> dict[TopicPartition, int]:
    numbers = member.partitions_for_topic(topic)
    ends: dict[TopicPartition, int] = member.end_offsets(
        [TopicPartition(topic, n) for n in numbers]
    )
    return ends


def _has_reached(member: KafkaConsumer, end: dict[TopicPartition, int]) -> bool:
    """Whether the group has read all: we by our position, the others by what they committed."""
    ours = member.assignment()
    return all(
        (member.position(p) if p in ours else member.committed(p) or 0) >= offset
        for p, offset in end.items()
        if offset
    )


def _poll(member: KafkaConsumer) -> list[ConsumerRecord]:
    return [record for records in member.poll(POLL_TIMEOUT).values() for record in records]
