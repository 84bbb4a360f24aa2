"""The committed records of a topic from given offsets on, up to where it ends now.

It joins no group and commits nothing.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import UnknownTopicOrPartitionError
from kafka.protocol.consumer.offsets import OffsetSpec

from delivery.broker import options
from delivery.broker.refusals import Rights
from delivery.domain.record import UNKNOWN_TOPIC_ID
from delivery.errors import SettingsError, UnavailableError
from delivery.settings import KafkaSettings

RIGHTS = Rights(topic="READ")

POLL_TIMEOUT_MS = 1000
READ_TIMEOUT_S = 15.0  # without a record; somebody's open transaction may hold them back
RECORDS = 2000  # in one portion


class Extent(NamedTuple):
    """The offsets of a partition, from `beginning` to the one before `end`."""

    beginning: int
    end: int


@dataclass(frozen=True)
class State:
    """A topic as it is now. `topic_id` tells it from one that had its name before."""

    topic_id: UUID
    extents: Mapping[int, Extent]  # by partition


class Found(NamedTuple):
    """A committed record."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


def state(settings: KafkaSettings, topic: str) -> State:
    """Raises SettingsError where there is no such topic, ForbiddenError or UnavailableError.

    `end` counts records too that are not committed yet.
    """
    with options.errors_translated(settings, RIGHTS):
        admin = options.connect(KafkaAdminClient, settings)
        try:
            return _described(admin, topic)
        except UnknownTopicOrPartitionError:
            raise SettingsError(
                f"Kafka has no topic {topic}: check DELIVERY_ANNOUNCE_TOPIC, or create the topic"
            ) from None
        finally:
            admin.close()


def records(
    settings: KafkaSettings, topic: str, extents: Mapping[int, Extent]
) -> Iterator[Sequence[Found]]:
    """The committed records of these extents, in portions.

    Raises UnavailableError, also where a transaction of somebody's holds them back for long.
    """
    extents = {
        number: extent for number, extent in extents.items() if extent.beginning < extent.end
    }
    if not extents:
        return
    with _reader(settings, topic, extents) as consumer, options.errors_translated(settings, RIGHTS):
        deadline = time.monotonic() + READ_TIMEOUT_S
        while not all(
            consumer.position(TopicPartition(topic, number)) >= extent.end
            for number, extent in extents.items()
        ):
            polled = consumer.poll(POLL_TIMEOUT_MS)
            if found := [
                Found(partition.partition, record.offset, record.key, record.value)
                for partition, polled_records in polled.items()
                for record in polled_records
            ]:
                deadline = time.monotonic() + READ_TIMEOUT_S
                yield found
            elif time.monotonic() > deadline:
                raise UnavailableError(
                    f"Kafka holds back records of topic {topic}: does somebody else's transaction "
                    "not end?"
                )


def _described(admin: KafkaAdminClient, topic: str) -> State:
    (described,) = admin.describe_topics([topic])
    if described["error_code"]:
        raise UnknownTopicOrPartitionError(topic)
    partitions = [TopicPartition(topic, p["partition_index"]) for p in described["partitions"]]
    firsts = admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.EARLIEST))
    ends = admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
    return State(
        UUID(str(described.get("topic_id") or UNKNOWN_TOPIC_ID)),
        {p.partition: Extent(firsts[p].offset, ends[p].offset) for p in partitions},
    )


@contextmanager
def _reader(settings: KafkaSettings, topic: str, extents: Mapping[int, Extent]) -> Iterator[Any]:
    consumer = options.connect(
        KafkaConsumer,
        settings,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        allow_auto_create_topics=False,
        max_poll_records=RECORDS,
        metrics_enabled=False,
    )
    try:
        consumer.assign([TopicPartition(topic, number) for number in extents])
        for number, extent in extents.items():
            consumer.seek(TopicPartition(topic, number), extent.beginning)
        yield consumer
    finally:
        consumer.close(autocommit=False)
