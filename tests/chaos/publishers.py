"""Producers that publish all the while, at a bounded rate, and know what was acknowledged."""

import random
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from environment import PARTITIONS, TOPIC, Coordinates
from kafka import KafkaProducer
from kafka.errors import KafkaError
from stream import Sent

PUBLISHERS = 2
RATE = 100  # records a second of all together: a run is about faults, not about load
PORTION = 10
NO_KEY = b""  # kafka-python sends no tombstone without a key
REQUEST_TIMEOUT = 5000  # milliseconds
SECONDS = 15.0  # until a record is acknowledged or has failed


class Publishers:
    """Threads that publish a stream; after its end they resend parts of it. No record has a key."""

    def __init__(self, bootstrap_servers: str, stream: Sequence[Sent], seed: int) -> None:
        self.acknowledged: dict[Coordinates, Sent] = {}
        self._servers = bootstrap_servers
        self._stream = stream
        self._due = deque(stream)
        self._rng = random.Random(seed)
        self._ends: dict[int, int] = {}
        self._lock = threading.Lock()
        self._is_last = threading.Event()
        self._threads = [threading.Thread(target=self._publish) for _ in range(PUBLISHERS)]

    def start(self) -> None:
        """They publish from now on."""
        for thread in self._threads:
            thread.start()

    def republish(self, count: int) -> None:
        """A slice of the stream is sent again, to other places."""
        start = self._rng.randrange(max(1, len(self._stream) - count))
        with self._lock:
            self._due.extendleft(self._stream[start : start + count])

    def sent(self) -> list[Sent]:
        """What was acknowledged, in that order."""
        with self._lock:
            return list(self.acknowledged.values())

    def ends(self) -> dict[int, int]:
        """For each partition the last offset that was acknowledged."""
        with self._lock:
            return dict(self._ends)

    def assert_alive(self) -> None:
        """None of the threads has ended."""
        assert all(thread.is_alive() for thread in self._threads), "a producer has ended"

    def finish(self) -> None:
        """Publishes what is left, quickly. When this returns, all of it is acknowledged."""
        self._is_last.set()
        for thread in self._threads:
            thread.join()

    def give_up(self) -> None:
        """Publishes no more."""
        with self._lock:
            self._due.clear()
        self.finish()

    def _publish(self) -> None:
        producer: Any = None
        while portion := self._portion():
            try:
                producer = producer or self._producer()
                self._send(producer, portion)
            except KafkaError:  # the broker is away: a producer that gave up does not come back
                _close(producer)
                producer = None
            self._is_last.wait(PORTION * PUBLISHERS / RATE)
        _close(producer)

    def _producer(self) -> Any:
        return KafkaProducer(
            bootstrap_servers=self._servers,
            acks="all",
            request_timeout_ms=REQUEST_TIMEOUT,
            delivery_timeout_ms=2 * REQUEST_TIMEOUT,
        )

    def _portion(self) -> list[Sent]:
        with self._lock:
            if not self._due and not self._is_last.is_set():
                self._due.extend(self._rng.choices(self._stream, k=PORTION))
            return [self._due.popleft() for _ in range(min(PORTION, len(self._due)))]

    def _send(self, producer: Any, portion: list[Sent]) -> None:
        """What is not acknowledged is due again, although it may lie in the topic already."""
        under_way = []
        try:
            for record in portion:
                partition = self._rng.randrange(PARTITIONS)
                future = producer.send(
                    TOPIC,
                    record.value,
                    None if record.value else NO_KEY,
                    partition=partition,
                    timestamp_ms=record.milliseconds,
                )
                under_way.append((record, future))
            producer.flush(SECONDS)
        finally:
            acknowledged = [(record, f.value) for record, f in under_way if f.succeeded()]
            missing = portion[len(under_way) :]
            missing += [record for record, f in under_way if not f.succeeded()]
            with self._lock:
                for record, place in acknowledged:
                    self.acknowledged[place.partition, place.offset] = record
                    self._ends[place.partition] = max(
                        place.offset, self._ends.get(place.partition, -1)
                    )
                self._due.extend(missing)
        for _, future in under_way:
            if future.failed():
                raise future.exception


def _close(producer: Any) -> None:
    if producer is not None:
        with suppress(KafkaError):
            producer.close(timeout=2)
