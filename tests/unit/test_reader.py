"""Our reader of a fetch's bytes and kafka-python's read the same records, or the same error."""

import struct
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from kafka.consumer.fetcher import Fetcher, IsolationLevel
from kafka.errors import CorruptRecordError, UnsupportedCodecError
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder
from kafka.record.util import calc_crc32c
from kafka.structs import TopicPartition

from delivery.broker import reader
from delivery.domain.record import Record, record_time

PARTITION = TopicPartition("orders", 3)
TOPIC_ID = UUID(int=7)

CODECS = {0: (0, 1, 2), 1: (0, 1, 2, 3), 2: (0, 1, 2, 3, 4)}  # none, gzip, snappy, lz4, zstd
LOG_APPEND_TIME, TRANSACTIONAL, CONTROL = 0x08, 0x10, 0x20  # attributes of a batch
MARKERS = [struct.pack(">hh", 0, 0), struct.pack(">hh", 0, 1)]  # of an abort, of a commit


class Aborted(NamedTuple):
    """A transaction that was aborted, as the answer to a fetch names it."""

    producer_id: int
    first_offset: int


class Fetch(NamedTuple):
    """What a fetch brought of a partition, and from which offset on it was asked for."""

    data: bytes
    offset: int = 0
    aborted: Sequence[Aborted] = ()
    isolation: int = IsolationLevel.READ_COMMITTED


class Taken(NamedTuple):
    """What the fetcher sees: the records of one call, or its error, and the state behind it."""

    records: list[Record]
    error: type[BaseException] | None
    next_fetch_offset: int
    leader_epoch: int
    was_read: bool


def taken(kind: Any, fetch: Fetch, numbers: Sequence[int]) -> list[Taken]:
    """So many records at a time, until there is none or an error."""
    part = kind(fetch.offset, PARTITION, MemoryRecords(fetch.data), isolation_level=fetch.isolation,
                aborted_transactions=fetch.aborted)  # fmt: skip
    taken: list[Taken] = []
    while part and not (taken and taken[-1].error):
        records, error = [], None
        try:
            records = part.take(numbers[len(taken) % len(numbers)])
        except Exception as raised:
            error = type(raised)
        taken.append(Taken(records, error, part.next_fetch_offset, part.leader_epoch,
                           part.bytes_read > 0))  # fmt: skip
    return taken


def as_ever(fetch: Fetch, numbers: Sequence[int]) -> list[Taken]:
    """What kafka-python reads, as our records."""
    return [
        part._replace(
            records=[
                Record(r.topic, r.partition, r.offset, record_time(r.timestamp), r.key, r.value,
                       r.headers, TOPIC_ID, r.leader_epoch)
                for r in part.records
            ]
        )
        for part in taken(Fetcher.PartitionRecords, fetch, numbers)
    ]  # fmt: skip


def ours(fetch: Fetch, numbers: Sequence[int]) -> list[Taken]:
    kind = partial(reader.PartitionRecords, lambda: TOPIC_ID)
    return [
        part._replace(records=[r._replace(headers=list(r.headers)) for r in part.records])
        for part in taken(kind, fetch, numbers)
    ]


def check(fetch: Fetch, numbers: Sequence[int] = (1000,)) -> list[Record]:
    """Asserts that both read the same. Returns the records."""
    read = ours(fetch, numbers)
    # A batch whose records were all removed counts as read with us; that is of no concern.
    expected = as_ever(fetch, numbers)
    assert [part[:4] for part in read] == [part[:4] for part in expected]
    assert all(
        mine.was_read >= theirs.was_read for mine, theirs in zip(read, expected, strict=True)
    )
    return [record for part in read for record in part.records]


class Message(NamedTuple):
    """A record before it is in a batch."""

    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


def batch(
    messages: Sequence[Message],
    magic: int = 2,
    codec: int = 0,
    base: int = 0,
    gaps: Sequence[int] = (),
    attributes: int = 0,
    producer_id: int = -1,
    epoch: int = 5,
    removed: int = 0,
) -> bytes:
    """A batch as a broker has it; `removed` offsets at its end are compacted away."""
    builder = MemoryRecordsBuilder(magic, codec, 1 << 20, offset=0 if magic == 2 else base)
    for number, message in enumerate(messages):
        builder.skip(gaps[number] if number < len(gaps) else 0)
        headers = message.headers if magic == 2 else []
        builder.append(message.timestamp, message.key, message.value, headers)
    builder.close()
    data = bytearray(builder.buffer())
    if magic == 2:
        header = list(DefaultRecordBatch.HEADER_STRUCT.unpack_from(data))
        header[0], header[2] = base, epoch
        header[5] |= attributes
        header[6] += removed
        header[9] = producer_id
        DefaultRecordBatch.HEADER_STRUCT.pack_into(data, 0, *header)
        data = checked(data)
    return bytes(data)


def checked(data: bytearray) -> bytearray:
    """The batch with the checksum of its bytes."""
    checksum = calc_crc32c(memoryview(data)[DefaultRecordBatch.ATTRIBUTES_OFFSET :])
    struct.pack_into(">I", data, DefaultRecordBatch.CRC_OFFSET, checksum)
    return data


def marker(key: bytes, producer_id: int, base: int) -> bytes:
    """A control batch: the end of a transaction."""
    message = Message(0, key, b"\0" * 6, [])
    attributes = CONTROL | TRANSACTIONAL
    return batch([message], base=base, attributes=attributes, producer_id=producer_id)


BYTES = st.none() | st.binary(max_size=8) | st.binary(min_size=60, max_size=300)
TIMESTAMPS = st.sampled_from([0, 1, 63, 64, 1_767_225_600_000, 1_767_225_700_000])
MESSAGES = st.builds(
    Message,
    TIMESTAMPS,
    BYTES,
    BYTES,
    st.lists(st.tuples(st.text(max_size=4), BYTES), max_size=3),
)
PRODUCERS = st.sampled_from([-1, 1, 2])


@st.composite
def batches(draw: st.DrawFn, base: int) -> tuple[bytes, int]:
    """A batch and the offset behind it."""
    if draw(st.integers(0, 3)) == 0:
        return marker(draw(st.sampled_from(MARKERS)), draw(st.sampled_from([1, 2])), base), base + 1
    magic = draw(st.sampled_from([2, 2, 2, 2, 0, 1]))
    messages = draw(
        st.lists(MESSAGES, min_size=1, max_size=5) | st.just([Message(9, None, b"x", [])] * 90)
    )
    gaps = draw(st.lists(st.sampled_from([0, 0, 1, 70, 9000]), max_size=5)) if magic == 2 else []
    producer, removed = draw(PRODUCERS), draw(st.sampled_from([0, 0, 3]))
    attributes = draw(st.sampled_from([0, 0, LOG_APPEND_TIME]))
    if producer != -1:
        attributes |= draw(st.sampled_from([0, TRANSACTIONAL]))
    data = batch(
        messages,
        magic,
        draw(st.sampled_from(CODECS[magic])),
        base,
        gaps,
        attributes,
        producer,
        draw(st.integers(-1, 9)),
        removed,
    )
    return data, base + len(messages) + sum(gaps[: len(messages)]) + removed


@st.composite
def fetches(draw: st.DrawFn) -> Fetch:
    """Some batches one behind the other, as they are or damaged, the last one perhaps cut."""
    base = first = draw(st.sampled_from([0, 7, 2**40]))
    data = b""
    for _ in range(draw(st.integers(1, 4))):
        one, base = draw(batches(base))
        data += draw(damaged(one)) if draw(st.integers(0, 9)) == 0 else one
    cut = draw(st.sampled_from([0, 0, 0, 1, 50]))
    offset = draw(st.integers(first, base))
    transactions = st.lists(st.builds(Aborted, st.sampled_from([1, 2]), st.integers(first, base)))
    isolation = draw(
        st.sampled_from([IsolationLevel.READ_COMMITTED] * 3 + [IsolationLevel.READ_UNCOMMITTED])
    )
    return Fetch(data[: len(data) - cut], offset, draw(transactions), isolation)


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """The batch with a byte changed behind its length, its checksum repaired or not."""
    broken = bytearray(data)
    place = draw(st.integers(16, len(data) - 1))
    broken[place] = draw(st.integers(0, 127))
    if (
        len(broken) > DefaultRecordBatch.HEADER_STRUCT.size
        and broken[16] == 2
        and draw(st.booleans())
    ):
        broken = checked(broken)
    return bytes(broken)


@given(fetches(), st.lists(st.integers(1, 100), min_size=1, max_size=3))
@settings(max_examples=500, deadline=None)
def test_both_read_the_same_records_or_the_same_error(fetch: Fetch, numbers: list[int]) -> None:
    records = check(fetch, numbers)
    event(f"records: {bool(records)}")


VALUE = b"value" * 50  # long enough that a codec makes it shorter
ONE = Message(1_767_225_600_000, b"key", VALUE, [("a", b"1"), ("b", None)])
BARE = Message(1_767_225_600_001, None, None, [])


@pytest.mark.parametrize(
    ("magic", "codec"), [(magic, codec) for magic, codecs in CODECS.items() for codec in codecs]
)
def test_every_format_and_codec_is_read(magic: int, codec: int) -> None:
    first, second = check(Fetch(batch([ONE, BARE], magic, codec, base=40), offset=40))
    assert (first.offset, first.key, first.value) == (40, b"key", VALUE)
    assert first.headers == ([("a", b"1"), ("b", None)] if magic == 2 else [])
    assert first.time == (None if magic == 0 else record_time(ONE.timestamp))
    assert (second.offset, second.key, second.value, second.headers) == (41, None, None, [])


def test_a_record_has_all_of_its_coordinates() -> None:
    (record,) = check(Fetch(batch([ONE], base=9, epoch=4), offset=9))
    assert (record.topic, record.partition, record.offset) == ("orders", 3, 9)
    assert (record.topic_id, record.leader_epoch) == (TOPIC_ID, 4)


def test_a_topic_that_the_broker_stamps_has_the_brokers_time() -> None:
    times = [Message(n, None, b"", []) for n in (5, 9, 7)]
    records = check(Fetch(batch(times, attributes=LOG_APPEND_TIME)))
    assert {record.time for record in records} == {record_time(9)}


def test_offsets_that_compaction_removed_are_left_out() -> None:
    records = check(Fetch(batch([ONE] * 3, base=10, gaps=[2, 0, 500], removed=4), offset=11))
    assert [record.offset for record in records] == [12, 13, 514]


def test_a_fetch_from_within_a_batch_begins_there() -> None:
    records = check(Fetch(batch([ONE] * 100), offset=70), [20])
    assert [record.offset for record in records] == list(range(70, 100))


@pytest.mark.parametrize(
    ("isolation", "offsets"),
    [
        (IsolationLevel.READ_COMMITTED, [2, 5]),
        (IsolationLevel.READ_UNCOMMITTED, [0, 2, 4, 5]),
    ],
)
def test_records_of_aborted_transactions_and_markers_are_left_out(
    isolation: int, offsets: list[int]
) -> None:
    data = (
        batch([ONE], base=0, attributes=TRANSACTIONAL, producer_id=1)
        + marker(MARKERS[0], 1, base=1)
        + batch([ONE], base=2, attributes=TRANSACTIONAL, producer_id=1)
        + marker(MARKERS[1], 1, base=3)
        + batch([ONE], base=4, attributes=TRANSACTIONAL, producer_id=2)
        + batch([ONE], base=5)
        + marker(MARKERS[0], 2, base=6)
    )
    records = check(Fetch(data, 0, [Aborted(2, 4), Aborted(1, 0)], isolation))
    assert [record.offset for record in records] == offsets


def test_what_stands_before_a_damaged_batch_is_read_first() -> None:
    second = bytearray(batch([ONE], base=1))
    second[-1] ^= 1
    fetch = Fetch(batch([ONE]) + bytes(second))
    check(fetch, [1])
    first, then = ours(fetch, [1])
    assert [record.offset for record in first.records] == [0]
    assert (then.error, then.next_fetch_offset) == (CorruptRecordError, 1)


@pytest.mark.parametrize("place", range(61, 61 + 24))
def test_a_byte_that_is_wrong_although_the_checksum_is_right_is_read_as_ever(place: int) -> None:
    for byte in (0, 1, 2, 3, 126, 127):
        data = bytearray(batch([ONE, BARE]))
        if place != 62:  # the attributes, all unused: kafka-python reads on where the eighth is set
            data[place] = byte
        check(Fetch(bytes(checked(data))))


def test_a_codec_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    data = batch([ONE], codec=4)
    monkeypatch.setattr("kafka.codec.has_zstd", lambda: False)
    check(Fetch(data))
    (part,) = ours(Fetch(data), [1])
    assert part.error is UnsupportedCodecError
