"""The records of a fetch, read from the bytes of its batches in one loop.

kafka-python makes some twenty calls and two objects of thirteen fields for each record, which took
a quarter of a worker's time. This reader is put in the place of `Fetcher.PartitionRecords`, the
object that a consumer makes of each partition's part of a fetch. It reads batches of the present
format, magic 2; those from before Kafka 0.11 are read by kafka-python.
https://kafka.apache.org/documentation/#recordbatch

What would make it unnecessary upstream: a method beside `poll()` that returns the batches of a
fetch, checked and without those of aborted transactions, with their records' bytes decompressed.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from kafka import KafkaConsumer
from kafka.errors import CorruptRecordError
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.memory_records import MemoryRecords
from kafka.record.util import decode_varint

from delivery.broker.internals import (
    MAGIC,
    FetchedPartition,
    decompressed,
    read_fetches_as,
)
from delivery.domain.record import Header, Record, record_time

NULL = 1  # the length -1 of what is null, as a varint
NO_HEADERS: Sequence[Header] = ()


def install(consumer: KafkaConsumer, topic_id: Callable[[], UUID]) -> None:
    """Makes the consumer's polls return `Record`s, with the topic id of when a batch is read."""
    read_fetches_as(consumer, partial(PartitionRecords, topic_id))


class PartitionRecords(FetchedPartition):
    """One partition's part of a fetch, as our `Record`s."""

    def __init__(self, topic_id: Callable[[], UUID], *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._topic_id = topic_id

    def read(self, batches: MemoryRecords) -> Iterator[Record]:
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
                yield from self._read_former_format(batch)
                continue
            self.leader_epoch = batch.leader_epoch
            if self.is_aborted(batch) or batch.is_control_batch:
                self.next_fetch_offset = batch.next_offset
            else:
                self.bytes_read += batch.size_in_bytes
                yield from self._read(batch)
        if last is not None and last.magic == MAGIC:  # its last records may be compacted away
            self.next_fetch_offset = last.next_offset
        self.drain()

    def _read(self, batch: DefaultRecordBatch) -> Iterator[Record]:
        data, at = decompressed(batch)
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

    def _read_former_format(self, batch: Any) -> Iterator[Record]:
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
