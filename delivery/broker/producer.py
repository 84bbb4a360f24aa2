"""Kafka, as a producer sees it: records go out, acknowledgements come back and are counted."""

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, UnknownTopicOrPartitionError

from delivery.broker import options
from delivery.broker.refusals import Rights
from delivery.errors import SettingsError, UnavailableError
from delivery.settings import KafkaSettings

LINGER_MS = 5
REQUEST_TIMEOUT_MS = 10_000
DELIVERY_TIMEOUT_MS = 30_000  # a record that is not acknowledged by then has failed
METADATA_TIMEOUT_MS = 10_000
FLUSH_TIMEOUT_S = 40.0  # by then each record is acknowledged or has failed
CLOSE_TIMEOUT_S = 5.0

RIGHTS = Rights(topic="WRITE")

BATCH_BYTES = 256 * 1024

# kafka-python keeps what is not acknowledged in memory without a bound, so we set one.
UNACKNOWLEDGED_RECORDS = 20_000
UNACKNOWLEDGED_BYTES = 16 * 1024 * 1024

LARGEST_REQUEST_BYTES = 2**30  # no limit of kafka-python's: the topic's counts
KAFKA_MAX_MESSAGE_BYTES = 1_048_588  # Kafka's own default
RECORD_OVERHEAD = 200  # bytes, of a batch that holds one record, beside key and value

UnderWay: TypeAlias = Any  # kafka-python's future of a record


class Outgoing(NamedTuple):
    """A record to publish, and the number of the line it comes from."""

    line: int
    key: bytes | None
    value: bytes


@dataclass
class Published:
    """How many records Kafka has acknowledged, and the lines of those that are too large."""

    acknowledged: int = 0
    too_large: list[int] = field(default_factory=list)


@dataclass
class Publisher:
    """A producer whose records are acknowledged by all in-sync replicas, and written once each."""

    settings: KafkaSettings
    producer: KafkaProducer
    published: Published
    _under_way: list[UnderWay] = field(default_factory=list)
    _size: int = 0  # bytes under way

    def publish(self, records: Iterable[Outgoing]) -> None:
        """Sends the records in their order, and counts in `published` what became of them.

        A record that is larger than the topic takes is left out and its line is noted. At any
        failure it stops: UnavailableError, SettingsError where there is no such topic,
        ForbiddenError where the right to write is missing. `published` is right then too, and
        after a Ctrl-C. Memory is bounded.
        """
        largest = self._largest_record()
        try:
            with options.errors_translated(self.settings, RIGHTS):
                for record in records:
                    self._send(record, largest)
                self._flush(FLUSH_TIMEOUT_S)
        except UnavailableError as error:
            raise UnavailableError(f"Kafka does not acknowledge the records: {error}") from error
        except KeyboardInterrupt:
            with suppress(KafkaError):
                self._flush(CLOSE_TIMEOUT_S)
            raise

    def _largest_record(self) -> int:
        """How many bytes of key and value the topic takes in one record.

        It is asked beforehand: with idempotence a refused record ends kafka-python's producer, and
        all records behind it fail with it.
        """
        topic = self.settings.kafka_topic
        with closing(options.connect(KafkaAdminClient, self.settings)) as admin:
            with options.errors_translated(self.settings, RIGHTS):
                is_absent = _is_absent(admin, topic)
            if is_absent:
                raise SettingsError(
                    f"Kafka has no topic {topic}: check DELIVERY_KAFKA_TOPIC, or create the topic"
                )
            limit = _max_message_bytes(admin, topic)
        with options.errors_translated(self.settings, RIGHTS):
            self.producer.partitions_for(topic)
        return limit - RECORD_OVERHEAD - limit // 1000  # lz4 grows what it can't compress by less

    def _send(self, record: Outgoing, largest: int) -> None:
        size = len(record.value) + len(record.key or b"")
        if size > largest:
            self.published.too_large.append(record.line)
            return
        topic = self.settings.kafka_topic
        self._under_way.append(self.producer.send(topic, record.value, record.key))
        self._size += size
        if len(self._under_way) >= UNACKNOWLEDGED_RECORDS or self._size >= UNACKNOWLEDGED_BYTES:
            self._flush(FLUSH_TIMEOUT_S)

    def _flush(self, timeout_s: float) -> None:
        """Waits for what is under way, counts it and forgets it. Raises the last failure."""
        try:
            self.producer.flush(timeout_s)
        finally:
            failures = [sent.exception for sent in self._under_way if sent.failed()]
            self.published.acknowledged += sum(sent.succeeded() for sent in self._under_way)
            self._under_way.clear()
            self._size = 0
        if failures:
            raise failures[-1]


@contextmanager
def connected(settings: KafkaSettings, published: Published) -> Iterator[Publisher]:
    """A publisher that counts in `published`.

    Raises SettingsError or UnavailableError where Kafka can't be reached.
    """
    producer = options.connect(
        KafkaProducer,
        settings,
        acks="all",  # with it kafka-python is idempotent wherever the broker can be
        compression_type="lz4",
        linger_ms=LINGER_MS,
        batch_size=BATCH_BYTES,
        max_request_size=LARGEST_REQUEST_BYTES,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        delivery_timeout_ms=DELIVERY_TIMEOUT_MS,
        max_block_ms=METADATA_TIMEOUT_MS,
        allow_auto_create_topics=False,
        metrics_enabled=False,
    )
    try:
        yield Publisher(settings, producer, published)
    finally:
        producer.close(timeout=CLOSE_TIMEOUT_S)


def _is_absent(admin: KafkaAdminClient, topic: str) -> bool:
    """To ask makes no topic, whatever the broker does at other questions."""
    (described,) = admin.describe_topics([topic])
    return bool(described["error_code"] == UnknownTopicOrPartitionError.errno)


def _max_message_bytes(admin: KafkaAdminClient, topic: str) -> int:
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, ["max.message.bytes"])
    try:
        described = admin.describe_configs([resource], config_filter="all")["topic"][topic]
        return int(described["max.message.bytes"]["value"])
    except (KafkaError, LookupError):  # the right to ask is missing
        return KAFKA_MAX_MESSAGE_BYTES
