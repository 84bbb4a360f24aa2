"""Records that are in the topic and that nobody sees yet: in a transaction that is still open.

So several workers can join and wait, and all records are there for all of them at once.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from kafka import KafkaProducer

from benchmarks.records import Sent

TRANSACTION_TIMEOUT = 300_000  # milliseconds; the broker aborts it then
FLUSH_EVERY = 10_000  # kafka-python keeps what is not acknowledged without a bound


@contextmanager
def open_transaction(
    bootstrap_servers: str, topic: str, records: Iterable[Sent]
) -> Iterator[KafkaProducer]:
    """The producer of the records, keyed by order. Its `commit_transaction` shows them."""
    producer = KafkaProducer(
        bootstrap_servers=bootstrap_servers,
        transactional_id=f"open-{topic}",
        transaction_timeout_ms=TRANSACTION_TIMEOUT,
        compression_type="lz4",
        linger_ms=5,
        batch_size=256 * 1024,
        metrics_enabled=False,
    )
    try:
        producer.init_transactions()
        producer.begin_transaction()
        for number, record in enumerate(records, 1):
            producer.send(topic, record.value, str(record.order_id).encode())
            if number % FLUSH_EVERY == 0:
                producer.flush(timeout=60)
        producer.flush(timeout=60)
        yield producer
    finally:
        producer.close(timeout=5)
