"""How far a group is behind, asked from outside: nobody joins it, and nothing is committed."""

from dataclasses import dataclass
from datetime import datetime

from kafka import TopicPartition

from delivery.broker import options
from delivery.broker.positions import committed
from delivery.broker.refusals import Rights
from delivery.broker.start import Committed, start
from delivery.broker.topic import REQUEST_TIMEOUT_MS, Topic
from delivery.domain.record import may_be_same_topic

RIGHTS = Rights(topic="DESCRIBE", group="DESCRIBE")


@dataclass(frozen=True)
class Behind:
    """A partition. `committed` is None where the group has committed no offset of it (yet).

    `lag` is the number of offsets from where a worker would read on; transactions' markers count
    too. `oldest` is the timestamp of the first record there, where it was asked for and there is
    one. `lost` is how many records were deleted unread.
    """

    topic: str
    partition: int
    committed: int | None
    end: int
    lag: int
    oldest: datetime | None = None
    lost: int = 0


def behind(topic: Topic) -> list[Behind]:
    """Every partition of the topic. Raises UnavailableError, SettingsError or ForbiddenError."""
    with options.errors_translated(topic.settings, RIGHTS):
        partitions = topic.partitions()
        begins = topic.consumer.beginning_offsets(partitions, timeout_ms=REQUEST_TIMEOUT_MS)
        ends = topic.consumer.end_offsets(partitions, timeout_ms=REQUEST_TIMEOUT_MS)
        found = {p: committed(topic.consumer, p, REQUEST_TIMEOUT_MS) for p in partitions}
    return [_behind(topic, p, found[p], begins[p], ends[p]) for p in partitions]


def _behind(
    topic: Topic, partition: TopicPartition, position: Committed | None, begin: int, end: int
) -> Behind:
    """What a worker that starts now would have to read. What is deleted is no work."""
    if position and not may_be_same_topic(position.topic_id, topic.topic_id):
        position = None  # it is of a topic that was deleted
    here = start(position, topic.topic_id, begin, end)
    offset = position and position.offset
    lag = max(0, end - here.offset)
    return Behind(partition.topic, partition.partition, offset, end, lag, lost=here.lost)
