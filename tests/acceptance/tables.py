"""What the database holds when the workers are done, in the terms of the truth about a stream."""

from collections.abc import Sequence
from typing import Any

from stream import COLUMNS, Columns, Coordinates, Key, Sent, places

from delivery.postgres.database import Connection

OUTCOMES = """
SELECT record_partition, record_offset, outcome FROM processed_events
UNION ALL
SELECT record_partition, record_offset,
       CASE WHEN payload_differs THEN 'conflict' ELSE 'duplicate' END FROM duplicate_events
UNION ALL
SELECT record_partition, record_offset, 'rejected' FROM dead_letters
"""
DELIVERIES = f"SELECT order_id, {COLUMNS} FROM deliveries"
ENTRIES = """
SELECT order_id, event_time, outcome, payload::text, record_partition, record_offset
FROM processed_events ORDER BY consumed_at, record_topic, record_partition, record_offset
"""
LETTERS = """
SELECT record_partition, record_offset, reason, record_key, record_value FROM dead_letters
"""


def accounted(connection: Connection) -> int:
    """How many records the three logs hold."""
    row = connection.execute(f"SELECT count(*) FROM ({OUTCOMES})").fetchone()
    assert row
    number: int = row[0]
    return number


def outcomes(connection: Connection) -> dict[Coordinates, str]:
    """The outcome of each record. A record that stands in the logs twice is an error."""
    rows = connection.execute(OUTCOMES).fetchall()
    found = {(partition, offset): outcome for partition, offset, outcome in rows}
    assert len(found) == len(rows), "a record is in the logs twice"
    return found


def deliveries(connection: Connection) -> dict[int, Columns]:
    """The columns of each order's delivery."""
    return {order_id: tuple(columns) for order_id, *columns in connection.execute(DELIVERIES)}


def ends(connection: Connection) -> dict[int, int]:
    """For each partition the offset after the last one that the logs hold."""
    last: dict[int, int] = {}
    for partition, offset in outcomes(connection):
        last[partition] = max(last.get(partition, 0), offset + 1)
    return last


def assert_dead_letters(connection: Connection, sent: Sequence[Sent]) -> None:
    """Each broken record, and no other, is a dead letter with its reason and its bytes."""
    rows = connection.execute(LETTERS).fetchall()
    letters = {(partition, offset): tuple(letter) for partition, offset, *letter in rows}
    assert letters == {
        place: (one.reason, one.key, one.value)
        for place, one in places(sent).items()
        if one.event is None
    }


def assert_whatever_the_order(connection: Connection, sent: Sequence[Sent]) -> None:
    """What must hold where several workers read an order's records from several partitions."""
    published = places(sent)
    assert outcomes(connection).keys() == published.keys()
    assert_dead_letters(connection, sent)
    log = connection.execute(ENTRIES).fetchall()
    by_key = {(row[0], row[1]): row for row in log}
    assert len(by_key) == len(log)
    assert by_key.keys() == {key(one) for one in sent if one.event}
    for row in log:
        record = published[row[4], row[5]]
        assert (row[0], row[1]) == key(record)
        assert row[3].encode() == record.value
    assert_deliveries_are_the_fold(connection, log, published)
    assert_differences(connection, by_key, published)


def assert_deliveries_are_the_fold(
    connection: Connection, log: Sequence[Any], published: dict[Coordinates, Sent]
) -> None:
    """The log read in its order tells each outcome, and the deliveries."""
    shaped: dict[int, Columns] = {}
    for order_id, event_time, outcome, _, *place in log:
        event = published[place[0], place[1]].event
        assert event
        newer = order_id not in shaped or event_time > shaped[order_id][-1]
        updated = "updated" if newer else "stale"
        assert outcome == (updated if order_id in shaped else "created")
        if newer:
            shaped[order_id] = event.columns
    assert deliveries(connection) == shaped
    keys = sorted(key(one) for one in published.values() if one.event)
    assert {order_id: columns[-1] for order_id, columns in shaped.items()} == dict(keys)


def assert_differences(
    connection: Connection, by_key: dict[Key, Any], published: dict[Coordinates, Sent]
) -> None:
    """A duplicate says the same as the event that the log holds under its key, a conflict not."""
    for place, outcome in outcomes(connection).items():
        if outcome in {"duplicate", "conflict"}:
            entry = by_key[key(published[place])]
            logged, event = published[entry[4], entry[5]].event, published[place].event
            assert logged
            assert event
            assert (logged.document != event.document) == (outcome == "conflict")


def key(record: Sent) -> Key:
    """What the inbox is unique by."""
    assert record.event
    return record.event.order_id, record.event.event_time
