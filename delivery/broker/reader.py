"""The records of a fetch, read from the bytes of its batches in one loop.

kafka-python makes some twenty calls and two objects of thirteen fields for each record, which took
a quarter of a worker's time. This reader is put in the place of `Fetcher.PartitionRecords`, the
object that a consumer makes of each partition's part of a fetch. It reads batches of the present
format, magic 2; those from before Kafka 0.11 kafka-python reads as ever.
https://kafka.apache.org/documentation/#recordbatch

What would make it unnecessary upstream: a method beside `poll()` that returns the batches of a
fetch, checked and without those of aborted transactions, with their records' bytes decompressed.

The parts of kafka-python 3.0 that are not public; no other module touches them:

`_fetcher.PartitionRecords`, and in it `_unpack_records`
    There is no public way between the bytes of a fetch and `ConsumerRecord`.
`_consume_aborted_transactions_up_to`, `_contains_abort_marker`, `_is_batch_aborted`
    What kafka-python does about transactions, so that it is done here in the same way.
`next_fetch_offset`, `bytes_read`, `leader_epoch` of a PartitionRecords
    From them the fetcher has the position, and whose turn is next among the partitions. If one had
    another name, it would be set in silence, and the same records would be read for ever.
`_buffer`, `_pos` of a DefaultRecordBatch
    Its bytes, decompressed, and where its records begin.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import Fetcher, IsolationLevel
from kafka.errors import CorruptRecordError
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.memory_records import MemoryRecords
from kafka.record.util import decode_varint

from delivery.broker import internals
from delivery.domain.record import Header, Record, record_time

MAGIC = 2  # of the format that Kafka has written since 0.11
NULL = 1  # the length -1 of what is null, as a varint
NO_HEADERS: Sequence[Header] = ()

_PARTS = (
    "_unpack_records",
    "_consume_aborted_transactions_up_to",
    "_contains_abort_marker",
    "_is_batch_aborted",
    "aborted_producer_ids",
    "bytes_read",
    "drain",
    "isolation_level",
    "leader_epoch",
    "next_fetch_offset",
    "topic_partition",
)
_PARTS_OF_BATCH = ("_buffer", "_pos")


def install(consumer: KafkaConsumer, topic_id: Callable[[], UUID]) -> None:
    """Makes the consumer's polls return `Record`s. `topic_id` is asked for the topic's at a batch.

    Raises SettingsError where a part of kafka-python is missing.
    """
    internals.require(consumer, ("_fetcher.PartitionRecords",))
    nothing = consumer._fetcher.PartitionRecords(0, TopicPartition("", 0), MemoryRecords(b""))
    internals.require(nothing, _PARTS)
    internals.require(DefaultRecordBatch, _PARTS_OF_BATCH)
    consumer._fetcher.PartitionRecords = partial(PartitionRecords, topic_id)


class PartitionRecords(Fetcher.PartitionRecords):  # type: ignore[misc]  # kafka-python is untyped
    """One partition's part of a fetch, as our `Record`s."""

    def __init__(self, topic_id: Callable[[], UUID], *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._topic_id = topic_id

    def _unpack_records(
        self, _partition: object, batches: Any, *_deserializers: object
    ) -> Iterator[Record]:
        """The records in order. Raises CorruptRecordError or UnsupportedCodecError behind those
        that could be read.
        """
        last = None
        while (batch := batches.next_batch()) is not None:
            last = batch
            if not batch.validate_crc():
                raise CorruptRecordError(
                    f"the batch of {self.topic_partition} at {batch.base_offset} fails its checksum"
                )
            if batch.magic != MAGIC:
                yield from self._read_as_ever(batch)
                continue
            self.leader_epoch = batch.leader_epoch
            if self._is_aborted(batch) or batch.is_control_batch:
                self.next_fetch_offset = batch.next_offset
            else:
                self.bytes_read += batch.size_in_bytes
                yield from self._read(batch)
        if last is not None and last.magic == MAGIC:  # its last records may be compacted away
            self.next_fetch_offset = last.next_offset
        self.drain()

    def _is_aborted(self, batch: DefaultRecordBatch) -> bool:
        """Whether its transaction was aborted. Notes the ends of transactions: sees every batch."""
        if self.isolation_level != IsolationLevel.READ_COMMITTED or not batch.has_producer_id():
            return False
        self._consume_aborted_transactions_up_to(batch.last_offset)
        if self._contains_abort_marker(batch):
            self.aborted_producer_ids.discard(batch.producer_id)
            return False
        return bool(self._is_batch_aborted(batch))

    def _read(self, batch: DefaultRecordBatch) -> Iterator[Record]:
        iter(batch)  # decompresses it
        data, at = bytes(batch._buffer), batch._pos
        topic, partition = self.topic_partition
        topic_id, base_offset = self._topic_id(), batch.base_offset
        ticks: int | None = None
        time: datetime | None = None
        for _ in range(batch.records_count):
            try:
                length, at = decode_varint(data, at)
                end = at + length
                before = ticks
                ticks, at = decode_varint(data, at + 1)  # behind a byte of attributes, all unused
                if ticks != before:  # most records have the time of the one before
                    time = _time(batch, ticks)
                delta, at = decode_varint(data, at)
                key, at = _nullable_bytes(data, at) if data[at] != NULL else (None, at + 1)
                value, at = _nullable_bytes(data, at)
                headers, at = _headers(data, at) if data[at] else (NO_HEADERS, at + 1)
            except (ValueError, IndexError) as error:
                raise CorruptRecordError(f"a record is damaged: {error!r}") from error
            if at != end:
                raise CorruptRecordError("a record has another length than it says")
            offset = base_offset + delta
            self.next_fetch_offset = offset + 1
            yield Record(topic, partition, offset, time, key, value, headers, topic_id,
                         self.leader_epoch)  # fmt: skip
        if at != len(data):
            raise CorruptRecordError(f"{len(data) - at} bytes behind the last record of a batch")

    def _read_as_ever(self, batch: Any) -> Iterator[Record]:
        topic, partition = self.topic_partition
        for record in batch:
            if not record.validate_crc():
                raise CorruptRecordError(f"a record of {self.topic_partition} fails its checksum")
            self.bytes_read += record.size_in_bytes
            self.next_fetch_offset = record.offset + 1
            time = record_time(record.timestamp)
            yield Record(topic, partition, record.offset, time, record.key, record.value,
                         record.headers, self._topic_id(), self.leader_epoch)  # fmt: skip


def _time(batch: DefaultRecordBatch, ticks: int) -> datetime | None:
    if batch.timestamp_type == DefaultRecordBatch.LOG_APPEND_TIME:
        return record_time(batch.max_timestamp)
    return record_time(batch.first_timestamp + ticks)


def _nullable_bytes(data: bytes, at: int) -> tuple[bytes | None, int]:
    length, at = decode_varint(data, at)
    return (None, at) if length < 0 else (data[at : at + length], at + length)


def _headers(data: bytes, at: int) -> tuple[Sequence[Header], int]:
    count, at = decode_varint(data, at)
    if count < 0:
        raise ValueError("a negative number of headers")
    headers: list[Header] = []
    for _ in range(count):
        key, at = _nullable_bytes(data, at)
        if key is None:
            raise ValueError("a header without a key")
        value, at = _nullable_bytes(data, at)
        headers.append((key.decode(), value))
    return headers, at
