"""Whether a topic is consumed: the group's members, what waits in each partition and since when.

It joins no group and commits nothing, so that it can be asked again and again beside the workers.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import TopicAuthorizationFailedError

from delivery.broker import lag, options, topic
from delivery.broker.group import Group, describe
from delivery.broker.lag import Behind
from delivery.broker.topic import Topic
from delivery.settings import KafkaSettings

# One record of each partition is wanted; a broker gives at least a whole batch.
FETCH_BYTES = 16_384
POLL_TIMEOUT_MS = 200
READ_TIMEOUT_S = 3.0  # for all of them; those that are not there by then have no age

_First = tuple[TopicPartition, int]  # where a worker would read on

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Consumption:
    """A group and each partition of its topic, as they were at about one moment."""

    group: Group
    partitions: list[Behind]

    @property
    def waiting(self) -> int:
        """The number of offsets that wait in all partitions."""
        return sum(p.lag for p in self.partitions)


@contextmanager
def opened(settings: KafkaSettings) -> Iterator[Callable[[], Consumption]]:
    """A function that looks. Both raise UnavailableError, SettingsError or ForbiddenError.

    It needs DESCRIBE on topic and group; without READ on the topic, `oldest` is not known.
    """
    with topic.opened(settings) as source:
        admin = options.connect(KafkaAdminClient, settings)
        reader = options.connect(
            KafkaConsumer,
            settings,
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            allow_auto_create_topics=False,
            max_partition_fetch_bytes=FETCH_BYTES,
            metrics_enabled=False,
        )
        try:
            yield _Observer(source, admin, reader).look
        finally:
            reader.close(autocommit=False)
            admin.close()


@dataclass
class _Observer:
    topic: Topic
    admin: KafkaAdminClient
    reader: KafkaConsumer
    _known: dict[_First, datetime | None] = field(default_factory=dict)

    def look(self) -> Consumption:
        settings = self.topic.settings
        partitions = lag.behind(self.topic)
        with options.errors_translated(settings, lag.RIGHTS):
            group = describe(self.admin, settings.kafka_group_id)
            return Consumption(group, self._with_ages(partitions))

    def _with_ages(self, partitions: Sequence[Behind]) -> list[Behind]:
        """A record that still waits is not read twice."""
        self._known = {_first(p): self._known.get(_first(p)) for p in partitions if p.lag}
        unknown = [p for p in partitions if p.lag and self._known[_first(p)] is None]
        if unknown:
            self._known |= self._times(unknown)
        return [replace(p, oldest=self._known.get(_first(p))) for p in partitions]

    def _times(self, partitions: Sequence[Behind]) -> dict[_First, datetime]:
        """The timestamp of the first record that waits in each, where there is one."""
        times: dict[_First, datetime] = {}
        ends = {first: p.end for p in partitions for first in [_first(p)]}
        self.reader.assign([partition for partition, _ in ends])
        for partition, offset in ends:
            self.reader.seek(partition, offset)
        deadline = time.monotonic() + READ_TIMEOUT_S
        with suppress(TopicAuthorizationFailedError):  # how many wait is known all the same
            while ends and time.monotonic() < deadline:
                polled = self.reader.poll(POLL_TIMEOUT_MS)
                for first in list(ends):
                    if records := polled.get(first[0]):
                        times[first] = _EPOCH + timedelta(milliseconds=records[0].timestamp)
                    if records or self.reader.position(first[0]) >= ends[first]:
                        del ends[first]  # what is there is read, or only a transaction's marker
                        self.reader.pause(first[0])
        return times


def _first(partition: Behind) -> _First:
    """Where a worker would read on."""
    return TopicPartition(partition.topic, partition.partition), partition.end - partition.lag
