"""A member of a consumer group: it joins, polls, commits and rewinds.

Never a deserializer: a record that makes one raise would block its partition for ever. Records are
handed on as bytes and decoded by our own code.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog
from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.errors import (
    AuthorizationError,
    FencedInstanceIdError,
    LogTruncationError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RetriableError,
    SaslAuthenticationFailedError,
)

from delivery.broker import internals, options, reader
from delivery.broker.commits import Commits
from delivery.broker.connections import ClientFactory, Connections
from delivery.broker.ends import Ends, Offsets
from delivery.broker.obstacle import Obstacle, TopicWatch
from delivery.broker.positions import Positions
from delivery.domain.record import Partition, PartitionLog, Record, offset_ranges
from delivery.errors import FencedError
from delivery.settings import KafkaSettings

log = structlog.get_logger()

POLL_TIMEOUT_S = 1.0  # poll() waits all of it even when SIGTERM came
PAUSE_S = 0.1  # between two polls; behind a longer one, maybe frozen, the topic is looked at

CLOSE_TIMEOUT_MS = 2000
METADATA_MAX_AGE_MS = 30_000  # after this long a new partition is noticed
RETRY_BACKOFF_MS = 20  # kafka-python also sleeps so long where a poll finds nothing under way

# In one fetch, of one partition or of all together: several batches. With Kafka's 1 MB for each
# partition every second batch is a rest; with its 50 MB for all, memory grows with the partitions.
FETCHED_BYTES = 4 * 1024 * 1024


@contextmanager
def connected(settings: KafkaSettings, batch_size: int) -> Iterator["GroupConsumer"]:
    """A consumer that `join` makes a member of the group; at the end it leaves the group.

    Raises SettingsError or UnavailableError where Kafka can't be reached.
    """
    factory = ClientFactory(settings)
    group = group_options(settings, batch_size)
    consumer = options.connect(KafkaConsumer, settings, factory, **group)
    try:
        internals.require_consumer(consumer)
        positions = Positions(consumer)
        reader.install(consumer, lambda: positions.topic_id)
        yield GroupConsumer(consumer, factory.connections, positions, settings, batch_size)
    finally:
        consumer.close(timeout_ms=CLOSE_TIMEOUT_MS)


def group_options(settings: KafkaSettings, batch_size: int) -> dict[str, Any]:
    """kafka-python's options of a member of the group, beside those of its connections."""
    return {
        "group_id": settings.kafka_group_id,
        "session_timeout_ms": _milliseconds(settings.kafka_session_timeout),
        "heartbeat_interval_ms": _milliseconds(settings.kafka_session_timeout / 10),
        "auto_offset_reset": "none",  # where reading begins is decided in `start`
        "enable_auto_commit": False,  # offsets follow the database's commit, never lead
        "isolation_level": "read_committed",
        "allow_auto_create_topics": False,
        "metadata_max_age_ms": METADATA_MAX_AGE_MS,
        "max_poll_records": batch_size,
        "max_partition_fetch_bytes": FETCHED_BYTES,
        "fetch_max_bytes": FETCHED_BYTES,
        "retry_backoff_ms": RETRY_BACKOFF_MS,
        "metrics_enabled": False,
    }


@dataclass
class GroupConsumer:
    """One member of a group that reads one topic. The worker's thread alone calls its methods;
    any thread may call `lags` and `absent_because`.
    """

    _consumer: KafkaConsumer
    _connections: Connections
    _positions: Positions
    _settings: KafkaSettings
    _batch_size: int
    _is_full: bool = False  # the last batch was, so that more records are likely there
    _polled_at: float = 0.0
    _refused: Obstacle = field(default_factory=Obstacle)

    def __post_init__(self) -> None:
        self._commits = Commits(self._consumer, self._positions)
        self._ends = Ends(self._consumer, self._positions)
        self._watch = TopicWatch(self._consumer, self._settings, self._positions)

    @property
    def topic(self) -> str:
        """The name of the topic that it reads."""
        return self._settings.kafka_topic

    def join(self, wait_for_topic: bool = True) -> None:
        """Subscribes to the topic. The polls that follow join the group; where there is no topic,
        they wait for one.

        The topic is asked for behind the subscription: a leader compares its partitions with those
        that it knew when it joined, and would join anew over an answer that comes later. Raises
        SettingsError where the right to the topic is missing, or the topic and it can't wait.
        """
        self._consumer.subscribe([self.topic], listener=_Listener(self._positions.due))
        if not wait_for_topic:
            self._watch.require()
        self._watch.look(at_once=wait_for_topic)

    def poll(self, timeout_s: float = POLL_TIMEOUT_S) -> list[Record]:
        """The next records, ordered by partition and offset; none after `timeout_s` without any.

        The order is that of the log within one transaction: see `Statements.read_clock`. Raises
        SettingsError where a right is missing before partitions were ever assigned, FencedError.
        """
        records = self._take(timeout_s)
        self._is_full = len(records) >= self._batch_size
        return records

    def poll_ahead(self) -> list[Record]:
        """The records behind a full batch, as far as they are here already.

        None behind a batch that was not full: there is no backlog, and a poll at the wrong moment
        makes kafka-python wait at the next one. None where the poll would join the group anew: the
        batch in hand commits its offsets first, for the partitions may go to another worker.
        """
        if not self._is_full or internals.is_rejoin_due(self._consumer):
            return []
        records = self._take(timeout_s=0)
        self._is_full = not records or len(records) >= self._batch_size
        return records

    def commit(self, records: Sequence[Record]) -> None:
        """Sends off the commit of the offsets after `records`, which the database has committed."""
        self._commits.send(records)

    def wait(self) -> None:
        """Waits for Kafka's answer to the last commit, if it is under way, but not for ever."""
        self._commits.wait()

    def rewind(self, records: Sequence[Record]) -> None:
        """Makes the next poll begin with `records` again, where their partitions are still ours."""
        current = [record for record in records if record.topic_id == self._positions.topic_id]
        if gone := len(records) - len(current):
            log.warning("records of the deleted topic were not processed", records=gone)
        assigned = self._consumer.assignment()
        for partition, (first, _) in offset_ranges(current).items():
            if partition in assigned:
                self._consumer.seek(TopicPartition(*partition), first)

    @property
    def joins(self) -> int:
        """How often partitions were assigned, and their positions set."""
        return self._positions.joins

    def claims(self) -> Mapping[PartitionLog, int]:
        """For each of our partitions the offset up to which this service has committed, so that the
        log has to hold the records below it. An offset that somebody else committed claims nothing.
        """
        return self._positions.claimed

    def rewind_to(self, partition: PartitionLog, offset: int) -> None:
        """Makes the next poll of a partition begin at `offset`, where it is still ours."""
        topic, number, topic_id = partition
        assigned = TopicPartition(topic, number)
        if topic_id == self._positions.topic_id and assigned in self._consumer.assignment():
            self._consumer.seek(assigned, offset)

    def idle(self, timeout_s: float) -> None:
        """Polls for up to `timeout_s` and takes nothing, so that the group keeps us."""
        self._consumer.pause(*self._consumer.assignment())
        self.rewind(self.poll(timeout_s))  # a rebalance may bring partitions not yet paused
        self._consumer.resume(*self._consumer.assignment())
        self._ends.refresh()

    def end(self) -> Offsets:
        """For each partition the offset after its last record. Raises UnavailableError."""
        return self._ends.of_topic(self.topic)

    def has_reached(self, end: Offsets) -> bool:
        """Whether the group has read every partition up to `end`: we ours, the others theirs."""
        return self._ends.are_read(end)

    def lags(self) -> dict[Partition, int]:
        """How many offsets each of our partitions has that are not polled yet, as of its last
        fetch, without a request. A partition that was not fetched from yet is left out.
        """
        return self._ends.lags()

    def lost_to_retention(self) -> int:
        """How many records were deleted before we read them, found since the last call."""
        lost, self._positions.lost = self._positions.lost, 0
        return lost

    def absent_because(self) -> str | None:
        """Why no record can come: a login, a right or the topic is missing, or the group is not
        joined.
        """
        refused = self._refused.why or self._connections.refusal
        return refused or self._watch.obstacle.why or internals.why_absent(self._consumer)

    def _take(self, timeout_s: float) -> list[Record]:
        polled = self._poll(timeout_s)
        self._watch.look(at_once=time.monotonic() - self._polled_at > PAUSE_S)
        if self._positions.due.is_set():
            polled = {}  # read at positions of before
            self._positions.begin()
            self._ends.forget()
        self._polled_at = time.monotonic()
        return [record for partition in sorted(polled) for record in polled[partition]]

    def _poll(self, timeout_s: float) -> Mapping[TopicPartition, Sequence[Record]]:
        internals.finish_joining(self._consumer)
        try:
            polled: Mapping[TopicPartition, Sequence[Record]]
            polled = self._consumer.poll(round(timeout_s * 1000))
        except FencedInstanceIdError as error:
            raise FencedError("another consumer uses this one's group instance id") from error
        except NoOffsetForPartitionError:
            self._positions.due.set()
        except OffsetOutOfRangeError as error:
            self._watch.look(at_once=True)
            self._positions.go_on_within(*error.args)
        except LogTruncationError as error:
            self._watch.look(at_once=True)
            self._positions.go_on_before(error.divergent_offsets)
        except (AuthorizationError, SaslAuthenticationFailedError) as error:
            self._refused.meet(self._watch.refusal(error))
            time.sleep(timeout_s)  # kafka-python raises it at once, at each poll
        except RetriableError as error:  # the broker is away; it comes back by itself
            log.warning("kafka is unavailable, polling on", error=str(error))
        else:
            self._refused.clear()
            return polled
        return {}


@dataclass
class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python is untyped
    """Notes that partitions were assigned. kafka-python calls it in a thread of its own."""

    assigned: threading.Event

    def on_partitions_revoked(self, revoked: Set[TopicPartition]) -> None:
        """Nothing: which ones are ours again is known after the join."""

    def on_partitions_assigned(self, assigned: Set[TopicPartition]) -> None:
        self.assigned.set()


def _milliseconds(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1000)
