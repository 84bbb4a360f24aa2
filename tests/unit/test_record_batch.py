"""Record batches are those that kafka-python's own builder writes, to the byte."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from kafka.record.memory_records import MemoryRecordsBuilder

from delivery.broker import record_batch
from delivery.broker.internals import MAGIC
from delivery.broker.record_batch import Headers, KeyValue

BYTES = st.binary(max_size=300)
RECORDS = st.lists(st.tuples(BYTES, BYTES), min_size=1, max_size=200)
HEADERS = st.lists(st.tuples(st.text(max_size=20), BYTES), max_size=3)
CODECS = st.sampled_from([0, 1, 3])  # none, gzip, lz4
TIME_MS = 1795631083778


@given(RECORDS, HEADERS, CODECS)
def test_a_batch_is_that_of_kafka_python(
    records: list[KeyValue], headers: list[tuple[str, bytes]], codec: int
) -> None:
    ours = record_batch.build(records, headers, TIME_MS, codec)
    theirs = MemoryRecordsBuilder(MAGIC, codec, batch_size=2**30)
    for key, value in records:
        theirs.append(TIME_MS, key, value, headers)
    assert ours.next_offset() == theirs.next_offset()
    assert ours.size_in_bytes() == theirs.size_in_bytes()
    for batch in (ours, theirs):
        batch.set_producer_state(7, 1, 42, True)
        batch.close()
    assert ours.buffer() == theirs.buffer()


@given(RECORDS, st.integers(0, 2000))
def test_portions_hold_all_records_in_their_order_and_are_no_larger_than_they_may_be(
    records: list[KeyValue], size: int
) -> None:
    portions = list(record_batch.portions(records, size))
    assert [record for portion in portions for record in portion] == records
    assert all(portion and (len(portion) == 1 or length(portion) <= size) for portion in portions)


def length(records: Sequence[KeyValue]) -> int:
    return sum(len(key) + len(value) for key, value in records)


def test_no_records_are_no_portion() -> None:
    assert list(record_batch.portions([], 10)) == []


def test_headers_may_be_none() -> None:
    none: Headers = []
    assert record_batch.build([(b"k", b"v")], none, TIME_MS, 0).next_offset() == 1
