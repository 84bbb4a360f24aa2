"""How far the log goes in each partition: what a database that is behind Kafka has lost.

An asynchronous standby that is promoted, or a backup that is restored, lacks the last transactions,
although Kafka has their offsets as committed. Nobody would read those records again.
"""

from collections.abc import Iterator, Mapping

from delivery.domain.record import UNKNOWN_TOPIC_ID, PartitionLog
from delivery.postgres.database import Connection, transaction

# Offsets below the end: first the record right before it, which is nearly always there; then, by
# the BRIN index on the coordinates, ever wider ranges.
RANGES = (1, 1000, 1_000_000, None)

_LAST_OFFSET = """
SELECT max(record_offset) FROM (
    SELECT record_offset FROM processed_events
    WHERE record_topic = %(topic)b AND record_partition = %(partition)b
      AND record_offset >= %(begin)b AND record_offset < %(end)b
      AND record_topic_id = ANY(%(ids)b::uuid[])
    UNION ALL
    SELECT record_offset FROM duplicate_events
    WHERE record_topic = %(topic)b AND record_partition = %(partition)b
      AND record_offset >= %(begin)b AND record_offset < %(end)b
      AND record_topic_id = ANY(%(ids)b::uuid[])
    UNION ALL
    SELECT record_offset FROM dead_letters
    WHERE record_topic = %(topic)b AND record_partition = %(partition)b
      AND record_offset >= %(begin)b AND record_offset < %(end)b
      AND record_topic_id = ANY(%(ids)b::uuid[])
    UNION ALL
    SELECT upper(offsets * int8multirange(int8range(%(begin)b, %(end)b))) - 1 FROM archived_offsets
    WHERE record_topic = %(topic)b AND record_partition = %(partition)b
      AND block >= %(begin)b >> 16 AND block <= %(end)b >> 16
      AND record_topic_id = ANY(%(ids)b::uuid[])
) AS logged
"""


def missing_from(
    connection: Connection, ends: Mapping[PartitionLog, int]
) -> dict[PartitionLog, int]:
    """The partitions whose log ends before these offsets, with the offset after its last record.

    Offsets without a record (markers of transactions, compacted ones) are included: whoever reads
    there finds nothing. Raises UnavailableError.
    """
    with transaction(connection):
        return dict(_ends(connection, ends))


def _ends(
    connection: Connection, ends: Mapping[PartitionLog, int]
) -> Iterator[tuple[PartitionLog, int]]:
    for partition, end in ends.items():
        after = _offset_after_last(connection, partition, end)
        if after < end:
            yield partition, after


def _offset_after_last(connection: Connection, partition: PartitionLog, end: int) -> int:
    topic, number, topic_id = partition
    given = {"topic": topic, "partition": number, "ids": [topic_id, UNKNOWN_TOPIC_ID]}
    for length in RANGES:
        begin = 0 if length is None else max(0, end - length)
        row = connection.execute(_LAST_OFFSET, given | {"begin": begin, "end": end}).fetchone()
        if row is not None and row[0] is not None:
            return int(row[0]) + 1
        if begin == 0:
            break
    return 0
