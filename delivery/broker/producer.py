"""Kafka, as a producer sees it: records go out, acknowledgements come back and are counted."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import AuthorizationError, KafkaError, KafkaTimeoutError

from delivery.broker import options
from delivery.errors import SettingsError, UnavailableError
from delivery.settings import KafkaSettings

Producer: TypeAlias = KafkaProducer

# Milliseconds.
LINGER = 5
REQUEST_TIMEOUT = 10_000
DELIVERY_TIMEOUT = 30_000  # a record that is not acknowledged by then has failed
METADATA_TIMEOUT = 10_000

# Seconds.
SETTLED = 40.0  # by then each record is acknowledged or has failed
CLOSE_TIMEOUT = 5.0

BATCH_BYTES = 256 * 1024

# kafka-python keeps what is not acknowledged in memory without a bound, so we set one.
UNACKNOWLEDGED_RECORDS = 20_000
UNACKNOWLEDGED_BYTES = 16 * 1024 * 1024

LARGEST_REQUEST = 2**30  # no limit of kafka-python's: the topic's counts
KAFKA_MAX_MESSAGE_BYTES = 1_048_588  # Kafka's own default
RECORD_OVERHEAD = 200  # bytes of a batch that holds one record, beside key and value

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


@contextmanager
def connected(settings: KafkaSettings) -> Iterator[Producer]:
    """A producer whose records are acknowledged by all in-sync replicas, and written once each.

    Raises SettingsError or UnavailableError where Kafka can't be reached.
    """
    with options.errors_translated(settings):
        producer = KafkaProducer(
            **options.connection(settings),
            acks="all",  # with it kafka-python is idempotent wherever the broker can be
            compression_type="lz4",
            linger_ms=LINGER,
            batch_size=BATCH_BYTES,
            max_request_size=LARGEST_REQUEST,
            request_timeout_ms=REQUEST_TIMEOUT,
            delivery_timeout_ms=DELIVERY_TIMEOUT,
            max_block_ms=METADATA_TIMEOUT,
            metrics_enabled=False,
        )
    try:
        yield producer
    finally:
        producer.close(timeout=CLOSE_TIMEOUT)


def largest_record(producer: Producer, settings: KafkaSettings) -> int:
    """How many bytes of key and value the topic takes in one record.

    It is asked beforehand: with idempotence a refused record ends kafka-python's producer, and all
    records behind it fail with it. Raises SettingsError where there is no such topic and the
    broker does not make one, or UnavailableError.
    """
    topic = settings.kafka_topic
    try:
        producer.partitions_for(topic)
    except (AuthorizationError, KafkaTimeoutError) as error:
        raise SettingsError(
            f"Kafka shows no topic {topic}: check DELIVERY_KAFKA_TOPIC, create the topic, or give "
            f"this user the right to it ({type(error).__name__})"
        ) from error
    limit = _max_message_bytes(settings)
    return limit - RECORD_OVERHEAD - limit // 1000  # lz4 grows what it can't compress by less


def _max_message_bytes(settings: KafkaSettings) -> int:
    with options.errors_translated(settings):
        admin = KafkaAdminClient(**options.connection(settings))
    topic = ConfigResource(ConfigResourceType.TOPIC, settings.kafka_topic, ["max.message.bytes"])
    try:
        described = admin.describe_configs([topic], config_filter="all")["topic"][topic.name]
        return int(described["max.message.bytes"]["value"])
    except (KafkaError, LookupError):  # the right to ask is missing
        return KAFKA_MAX_MESSAGE_BYTES
    finally:
        admin.close()


def publish(
    producer: Producer, topic: str, records: Iterable[Outgoing], largest: int, published: Published
) -> None:
    """Sends the records in their order, and counts in `published` what became of them.

    A record with more than `largest` bytes is left out and its line is noted. At any failure it
    stops: UnavailableError, or SettingsError where the right to write is missing. `published` is
    right then too, and after a Ctrl-C. Memory is bounded.
    """
    under_way: list[UnderWay] = []
    size = 0
    try:
        for line, key, value in records:
            if len(value) + len(key or b"") > largest:
                published.too_large.append(line)
                continue
            under_way.append(producer.send(topic, value, key))
            size += len(value)
            if len(under_way) >= UNACKNOWLEDGED_RECORDS or size >= UNACKNOWLEDGED_BYTES:
                _settle(producer, under_way, published)
                size = 0
        _settle(producer, under_way, published)
    except KafkaError as error:
        raise _translated(error) from error
    except KeyboardInterrupt:
        with suppress(KafkaError):
            _settle(producer, under_way, published, CLOSE_TIMEOUT)
        raise


def _settle(
    producer: Producer, under_way: list[UnderWay], published: Published, timeout: float = SETTLED
) -> None:
    """Waits for what is under way, counts it and forgets it. Raises the last of its failures."""
    try:
        producer.flush(timeout)
    finally:
        failures = [sent.exception for sent in under_way if sent.failed()]
        published.acknowledged += sum(sent.succeeded() for sent in under_way)
        under_way.clear()
    if failures:
        raise failures[-1]


def _translated(error: KafkaError) -> Exception:
    if isinstance(error, AuthorizationError):
        return SettingsError(f"Kafka refuses the records ({type(error).__name__})")
    return UnavailableError(f"Kafka does not acknowledge the records ({type(error).__name__})")
