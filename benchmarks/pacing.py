"""A producer that keeps a pace: so many records a second, in steps of 10 ms."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from kafka import KafkaProducer

from benchmarks.records import Sent
from benchmarks.sizes import Phase

STEP = 0.010  # seconds


@contextmanager
def producing(bootstrap_servers: str) -> Iterator[KafkaProducer]:
    """A producer that sends each record at once: it would be our delay, not the contender's."""
    producer = KafkaProducer(
        bootstrap_servers=bootstrap_servers, acks="all", linger_ms=0, metrics_enabled=False
    )
    try:
        yield producer
    finally:
        producer.close(timeout=5)


def produce(producer: KafkaProducer, topic: str, records: Sequence[Sent], phase: Phase) -> float:
    """Sends the records at the phase's pace. Returns the records a second that it really was.

    Each has the time of its sending as its timestamp, so that a producer that falls behind its
    pace does not count as the contender's latency.
    """
    begun, sent = time.monotonic(), 0
    while sent < len(records):
        due = min(len(records), round((time.monotonic() - begun + STEP) * phase.rate))
        for record in records[sent:due]:
            producer.send(topic, record.value)
        sent = due
        # The next step that is not past yet.
        elapsed = time.monotonic() - begun
        time.sleep(STEP - elapsed % STEP)
    producer.flush(timeout=30)
    return len(records) / (time.monotonic() - begun)
