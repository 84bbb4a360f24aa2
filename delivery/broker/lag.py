"""How far a group is behind, asked from outside: nobody joins it, and nothing is committed."""

from dataclasses import dataclass

from kafka import TopicPartition

from delivery.broker import options
from delivery.broker.refusals import Rights
from delivery.broker.topic import REQUEST_TIMEOUT_MS, Topic

RIGHTS = Rights(topic="DESCRIBE", group="DESCRIBE")


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
    """Every partition of the topic. Raises UnavailableError, SettingsError or ForbiddenError."""
    with options.errors_translated(topic.settings, RIGHTS):
        partitions = topic.partitions()
        begins = topic.consumer.beginning_offsets(partitions, timeout_ms=REQUEST_TIMEOUT_MS)
        ends = topic.consumer.end_offsets(partitions, timeout_ms=REQUEST_TIMEOUT_MS)
        committed = {
            p: topic.consumer.committed(p, timeout_ms=REQUEST_TIMEOUT_MS) for p in partitions
        }
    return [_behind(p, committed[p], begins[p], ends[p]) for p in partitions]


def _behind(partition: TopicPartition, committed: int | None, begin: int, end: int) -> Behind:
    reached = begin if committed is None else max(committed, begin)  # what is deleted is no work
    return Behind(partition.topic, partition.partition, committed, end, max(0, end - reached))
