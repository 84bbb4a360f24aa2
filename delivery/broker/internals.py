"""The private parts of kafka-python 3.0: no other module touches one.

They are listed first: what each is for, which public way was tried, what breaks without it. At its
start a client is checked for those that it leans on. Where its bound in `pyproject.toml` is raised,
this is the file to read again.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.cluster import ClusterMetadata
from kafka.consumer.fetcher import Fetcher, IsolationLevel
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.net.transport import KafkaTCPTransport
from kafka.producer.producer_batch import ProducerBatch
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder
from kafka.structs import MemberState, OffsetAndMetadata

from delivery.domain.record import UNKNOWN_TOPIC_ID, Record
from delivery.errors import SettingsError

MAGIC = 2  # the format of batches since Kafka 0.11, the only one with transactions


class Use(NamedTuple):
    """What private parts are for; which public way was tried; what breaks without them."""

    purpose: str
    public_way: str
    without: str
    parts: Mapping[type, tuple[str, ...]]


USES = (
    Use(
        purpose="The lag without a request.",
        public_way="`position()` looks at all partitions for each one, and may ask the broker.",
        without="Metrics and totals would lack the lag.",
        parts={KafkaConsumer: ("_subscription.assignment",)},  # its values' position and highwater
    ),
    Use(
        purpose="Notices a log that was truncated while nobody read it, by a leader epoch.",
        public_way="`seek()` takes a bare offset.",
        without="Records that took the place of truncated ones would stay unread.",
        parts={KafkaConsumer: ("_subscription.seek",)},
    ),
    Use(
        purpose="A worker that was away commits no offsets.",
        public_way="Without a broker `group_metadata()` goes on saying that it is a member.",
        without="It would put back its successor's offsets.",
        parts={KafkaConsumer: ("_coordinator.heartbeat.session_timeout_expired",)},
    ),
    Use(
        purpose="Nothing is polled ahead of a rejoin.",
        public_way="None.",
        without="At each rebalance the offsets of the batch in hand would stay uncommitted.",
        parts={KafkaConsumer: ("_coordinator.need_rejoin",)},
    ),
    Use(
        purpose="Finishes a join that was answered between two polls.",
        public_way="None.",
        without="The member would poll for ever, without heartbeats and without a commit.",
        parts={KafkaConsumer: ("_coordinator.request_rejoin",)},
    ),
    Use(
        purpose="Notices within a second a topic that was deleted, made anew or forbidden.",
        public_way="`topics()` asks for all topics of the cluster and tells no id.",
        without="The new topic would be read at the old one's positions.",
        parts={
            KafkaConsumer: (
                "_cluster.request_update",
                "_cluster.topic_id",
                "_cluster.partitions_for_topic",
                "_cluster.unauthorized_topics",
            )
        },
    ),
    Use(
        purpose="Has a deleted topic stay deleted.",
        public_way="The option `allow_auto_create_topics` reaches no request.",
        without="Whoever asks for the topic would make it, with the broker's number of partitions.",
        parts={ClusterMetadata: ("config",)},
    ),
    Use(
        purpose="Reads records in one loop over a fetch's bytes, see `reader`.",
        public_way="None leads from the bytes of a fetch to `ConsumerRecord`.",
        without="Reading would take a quarter of a worker's time.",
        parts={
            KafkaConsumer: ("_fetcher.PartitionRecords",),
            Fetcher.PartitionRecords: ("_unpack_records", "topic_partition", "drain"),
            DefaultRecordBatch: ("_buffer", "_pos"),
        },
    ),
    Use(
        purpose="Tells the fetcher the position, and whose turn is next among the partitions.",
        public_way="None.",
        without="Set under a former name, they would have the same records read for ever.",
        parts={Fetcher.PartitionRecords: ("next_fetch_offset", "bytes_read", "leader_epoch")},
    ),
    Use(
        purpose="Leaves out records of aborted transactions as kafka-python does.",
        public_way="None.",
        without="They would be delivered.",
        parts={
            Fetcher.PartitionRecords: (
                "isolation_level",
                "aborted_producer_ids",
                "_consume_aborted_transactions_up_to",
                "_contains_abort_marker",
                "_is_batch_aborted",
            )
        },
    ),
    Use(
        purpose="Hears what a broker says right before it closes a connection: its reason.",
        public_way="None: what arrives together with the end is thrown away.",
        without="A refused login would look like a closed connection.",
        parts={
            KafkaConnectionManager: ("_build_transport",),
            KafkaTCPTransport: ("_sock_recv",),
        },
    ),
    Use(
        purpose="Sends whole batches of records that are bytes already, see `record_batch`.",
        public_way="`send()` takes 20 us for a record, and writes it bit by bit; a batch 2 us.",
        without="Announcing would be slower than the worker.",
        parts={
            KafkaProducer: (
                "_accumulator._batches",
                "_accumulator._tp_lock",
                "_accumulator._incomplete",
                "_transaction_manager.maybe_add_partition_to_transaction",
                "_sender.wakeup",
            ),
            MemoryRecordsBuilder: ("_builder", "_next_offset"),
            DefaultRecordBatchBuilder: (
                "_buffer",
                "_first_timestamp",
                "_max_timestamp",
                "_last_offset",
                "_num_records",
            ),
        },
    ),
    Use(
        purpose="A commit with a deadline.",
        public_way="`commit_transaction()` waits for ever where the broker is away.",
        without="The announcer would hang.",
        parts={KafkaProducer: ("_transaction_manager.begin_commit",)},
    ),
    Use(
        purpose="Ends a producer that has records under way.",
        public_way="`close()` raises then, and leaves its thread to send them after all.",
        without="Records would be sent after the announcer gave up its turn.",
        parts={KafkaProducer: ("_sender.force_close",)},
    ),
)


def require(owner: type, example: object | None = None) -> None:
    """Raises SettingsError where `example`, by default the class itself, lacks a part.

    Nothing else would tell: a renamed attribute is set in silence.
    """
    for name in (name for use in USES for name in use.parts.get(owner, ())):
        try:
            attrgetter(name)(owner if example is None else example)
        except AttributeError:
            raise SettingsError(
                f"kafka-python {version('kafka-python')} has no {name}, which this version relies "
                "on: install kafka-python>=3.0.12,<3.1"
            ) from None


def require_consumer(consumer: KafkaConsumer) -> None:
    """Raises SettingsError where a part is missing that reading leans on."""
    require(KafkaConsumer, consumer)
    require(
        Fetcher.PartitionRecords,
        Fetcher.PartitionRecords(0, TopicPartition("", 0), MemoryRecords(b"")),
    )
    require(DefaultRecordBatch)


def require_producer(producer: KafkaProducer) -> None:
    """Raises SettingsError where a part is missing that transactions lean on."""
    require(KafkaProducer, producer)
    require(MemoryRecordsBuilder)
    require(DefaultRecordBatchBuilder)


# A member of a group


def lags(
    consumer: KafkaConsumer, ends: Mapping[TopicPartition, int]
) -> Mapping[TopicPartition, int]:
    """How many offsets are not polled yet in each partition that was fetched from, or has an end
    in `ends`.
    """
    known = {
        partition: (state.position, max(state.highwater or 0, ends.get(partition, 0)))
        for partition, state in consumer._subscription.assignment.copy().items()
        if state.highwater is not None or partition in ends
    }
    return {p: max(0, end - at.offset) for p, (at, end) in known.items() if at is not None}


def seek(consumer: KafkaConsumer, partition: TopicPartition, offset: int, epoch: int = -1) -> None:
    """Sets the position. With the leader epoch of the record before it, kafka-python asks the
    leader whether that record is still the one there.
    """
    consumer._subscription.seek(partition, OffsetAndMetadata(offset, "", epoch))


def why_absent(consumer: KafkaConsumer) -> str | None:
    """Why the consumer is in its group no more or not yet; None where it is, with or without
    partitions. Any thread may ask.
    """
    state = consumer.group_metadata().state
    if state == MemberState.UNJOINED:
        return "the group is not joined"
    if state == MemberState.REBALANCING:
        return "the group is sharing out its partitions anew"
    if consumer._coordinator.heartbeat.session_timeout_expired():
        return "Kafka answered no heartbeat for longer than DELIVERY_KAFKA_SESSION_TIMEOUT"
    return None


def is_rejoin_due(consumer: KafkaConsumer) -> bool:
    """Whether the next poll joins the group anew, after which partitions may be another's."""
    return bool(consumer._coordinator.need_rejoin())


def finish_joining(consumer: KafkaConsumer) -> None:
    """Makes the next poll end a join that was answered between two polls.

    A new partition makes the leader rejoin, and the rejoin clears that condition: a later poll sees
    no reason to finish the join.
    """
    is_rebalancing = consumer.group_metadata().state == MemberState.REBALANCING
    if is_rebalancing and not is_rejoin_due(consumer):
        consumer._coordinator.request_rejoin()


# What a consumer knows of its topic


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as of the last metadata. `topic_id` is `UNKNOWN_TOPIC_ID` below Kafka 2.8."""

    exists: bool
    is_forbidden: bool
    topic_id: UUID


def topic_state(consumer: KafkaConsumer, topic: str) -> TopicState:
    """What the last metadata says of `topic`, without a request."""
    cluster = consumer._cluster
    return TopicState(
        exists=cluster.partitions_for_topic(topic) is not None,
        is_forbidden=topic in cluster.unauthorized_topics,
        topic_id=cluster.topic_id(topic) or UNKNOWN_TOPIC_ID,
    )


def refresh_metadata(consumer: KafkaConsumer, timeout_s: float) -> bool:
    """Asks for the subscribed topics' metadata. Returns whether Kafka answered in time."""
    update = consumer._cluster.request_update()
    deadline = time.monotonic() + timeout_s
    while not update.is_done and time.monotonic() < deadline:
        time.sleep(0.001)  # kafka-python's own thread takes the answer
    return bool(update.is_done)


# The bytes of a fetch


class FetchedPartition(Fetcher.PartitionRecords):  # type: ignore[misc]  # kafka-python is untyped
    """One partition's part of a fetch, for a subclass that reads its batches itself.

    It sets `next_fetch_offset`, `bytes_read` and `leader_epoch` as it reads, and calls `drain` at
    the end.
    """

    def read(self, batches: MemoryRecords) -> Iterator[Record]:
        """The records in order. Raises CorruptRecordError or UnsupportedCodecError behind those
        that could be read.
        """
        raise NotImplementedError

    def is_aborted(self, batch: DefaultRecordBatch) -> bool:
        """Whether its transaction was aborted. Notes the ends of transactions: sees every batch."""
        if self.isolation_level != IsolationLevel.READ_COMMITTED or not batch.has_producer_id():
            return False
        self._consume_aborted_transactions_up_to(batch.last_offset)
        if self._contains_abort_marker(batch):
            self.aborted_producer_ids.discard(batch.producer_id)
            return False
        return bool(self._is_batch_aborted(batch))

    def _unpack_records(
        self, _partition: object, batches: MemoryRecords, *_deserializers: object
    ) -> Iterator[Record]:
        return self.read(batches)


def read_fetches_as(consumer: KafkaConsumer, make: Callable[..., FetchedPartition]) -> None:
    """Has the consumer make this of each partition's part of a fetch."""
    consumer._fetcher.PartitionRecords = make


def decompressed(batch: DefaultRecordBatch) -> tuple[bytes, int]:
    """A batch's bytes, and where its records begin. Raises UnsupportedCodecError."""
    iter(batch)  # decompresses it
    return bytes(batch._buffer), batch._pos


# Connections


class ConnectionManager(KafkaConnectionManager):  # type: ignore[misc]  # kafka-python is untyped
    """kafka-python's connections, which hear out a broker that closes them, and leave a missing
    topic missing where they are told to.
    """

    def __init__(self, net: NetworkSelector, **config: Any) -> None:
        require(KafkaConnectionManager)
        require(KafkaTCPTransport)
        super().__init__(net, **config)
        require(ClusterMetadata, self.cluster)
        may_create = config.get("allow_auto_create_topics", False)
        self.cluster.config["allow_auto_create_topics"] = may_create

    async def _build_transport(self, node: Any, timeout_at: float | None = None) -> Any:
        transport = await super()._build_transport(node, timeout_at)
        transport._sock_recv = partial(_received, transport._sock_recv)
        return transport


def _received(receive: Callable[[], tuple[bytes, object]]) -> tuple[bytes, object]:
    """What came before the end of a connection; the end comes again at the next call."""
    data, end = receive()
    return data, None if data else end


# A transactional producer


def batch_of(records: bytes, count: int, time_ms: int, compression: int) -> MemoryRecordsBuilder:
    """A batch of `count` records, all of one time, that are in the format's bytes already.

    `compression` is Kafka's number of the codec with which kafka-python compresses them.
    """
    batch = MemoryRecordsBuilder(MAGIC, compression, batch_size=0)
    builder = batch._builder
    builder._buffer.extend(records)
    builder._first_timestamp = builder._max_timestamp = time_ms
    builder._num_records = batch._next_offset = count
    builder._last_offset = count - 1
    return batch


def send_batch(producer: KafkaProducer, batch: ProducerBatch) -> None:
    """Sends a batch in the transaction under way, behind those of its partition."""
    partition = batch.topic_partition
    accumulator = producer._accumulator
    producer._transaction_manager.maybe_add_partition_to_transaction(partition)
    with accumulator._tp_lock(partition):
        accumulator._batches[partition].append(batch)
        accumulator._incomplete.add(batch)
    producer._sender.wakeup()


def begin_commit(producer: KafkaProducer) -> Any:
    """Begins to commit the transaction. Whoever wants to know the end waits for what it returns."""
    result = producer._transaction_manager.begin_commit()
    producer._sender.wakeup()
    return result


def abandon(producer: KafkaProducer) -> None:
    """Sends nothing more of what is under way."""
    producer._sender.force_close()
