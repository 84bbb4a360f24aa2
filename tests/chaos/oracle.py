"""What must be true at the end of a run, told from the topic itself and from what was published."""

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from environment import GROUP, TOPIC, Connection, Coordinates, Environment
from kafka import KafkaConsumer, TopicPartition
from psycopg import sql
from stream import COLUMNS, Event, Key, Sent

from delivery.postgres.tables import metadata

PLACES = """
SELECT record_partition, record_offset FROM processed_events
UNION ALL SELECT record_partition, record_offset FROM duplicate_events
UNION ALL SELECT record_partition, record_offset FROM dead_letters
"""
LOG = """
SELECT order_id, event_time, outcome, payload::text, record_partition, record_offset
FROM processed_events ORDER BY consumed_at, record_topic, record_partition, record_offset
"""
DUPLICATES = """
SELECT order_id, event_time, payload_differs, record_partition, record_offset
FROM duplicate_events
"""
LETTERS = "SELECT record_value, reason, record_partition, record_offset FROM dead_letters"
DELIVERIES = f"SELECT order_id, status, {COLUMNS} FROM deliveries"
# Each row with the transaction that wrote it: also a row that is written the same again shows.
CHECKSUM = """
SELECT md5(coalesce(string_agg(md5(xmin::text || t::text), '' ORDER BY t::text), '')) FROM {} AS t
"""


@dataclass
class Account:
    """How the records of the topic are accounted for."""

    records: int
    lost: list[Coordinates]  # in the topic, and in no log
    doubled: list[Coordinates]  # in the logs more than once
    invented: list[Coordinates]  # in a log, and not in the topic
    dead_letters: int

    @property
    def is_right(self) -> bool:
        """Whether each record is accounted for exactly once."""
        return not (self.lost or self.doubled or self.invented)


def topic(environment: Environment, stream: Sequence[Sent]) -> dict[Coordinates, Sent]:
    """Each record of the topic, by its place: also those whose acknowledgement was lost."""
    known = {sent.value: sent for sent in stream}
    with closing(KafkaConsumer(bootstrap_servers=environment.brokers.addresses)) as consumer:
        partitions = [TopicPartition(TOPIC, p) for p in consumer.partitions_for_topic(TOPIC)]
        consumer.assign(partitions)
        consumer.seek_to_beginning()
        ends = consumer.end_offsets(partitions)
        found: dict[Coordinates, Sent] = {}
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for records in consumer.poll(1000).values():
                found |= {(r.partition, r.offset): known[r.value] for r in records}
    return found


def account(connection: Connection, published: dict[Coordinates, Sent]) -> Account:
    """Compares the coordinates in the three logs with those of the topic."""
    rows: list[Coordinates] = [(row[0], row[1]) for row in connection.execute(PLACES)]
    seen = Counter(rows)
    return Account(
        len(published),
        lost=sorted(published.keys() - seen.keys()),
        doubled=[place for place, times in seen.items() if times > 1],
        invented=sorted(seen.keys() - published.keys()),
        dead_letters=len(connection.execute(LETTERS).fetchall()),
    )


def assert_acknowledged(
    acknowledged: dict[Coordinates, Sent], published: dict[Coordinates, Sent]
) -> None:
    """What a producer was told is there. Otherwise Kafka lost it, and a run says nothing."""
    for place, sent in acknowledged.items():
        assert published[place].value == sent.value, f"Kafka holds another record at {place}"


def assert_true(connection: Connection, published: dict[Coordinates, Sent]) -> None:
    """Each row of each table is what the published records say."""
    assert_dead_letters(connection, published)
    log = connection.execute(LOG).fetchall()
    assert_keys(connection, log, published)
    deliveries = connection.execute(DELIVERIES).fetchall()
    moved = {row[0] for row in deliveries if row[1] != "pending"}
    shaped = fold(log, published, moved)
    found = {order_id: tuple(columns) for order_id, _, *columns in deliveries}
    assert found == {order_id: event.columns for order_id, event in shaped.items()}
    events = [sent.event for sent in published.values() if sent.event]
    newest = {e.order_id: e.event_time for e in sorted(events, key=lambda e: e.event_time)}
    assert newest.keys() == shaped.keys()
    for order_id, event in shaped.items():
        assert order_id in moved or event.event_time == newest[order_id]


def assert_dead_letters(connection: Connection, published: dict[Coordinates, Sent]) -> None:
    """Each broken record, and no other, is a dead letter with its reason and its bytes."""
    rows = connection.execute(LETTERS)
    assert {(row[2], row[3]): row[:2] for row in rows} == {
        place: (sent.value, sent.reason) for place, sent in published.items() if sent.event is None
    }


def assert_keys(
    connection: Connection, log: Sequence[Any], published: dict[Coordinates, Sent]
) -> None:
    """Each key is in the log once, and all other records of it are its duplicates."""
    entries: dict[Key, Event] = {}
    for order_id, event_time, _, payload, *place in log:
        event = event_at(published, place)
        assert (order_id, event_time) == event[:2]
        assert payload.encode() == published[place[0], place[1]].value
        assert event[:2] not in entries, f"order {order_id} is in the log twice at {event_time}"
        entries[order_id, event_time] = event
    for order_id, event_time, differs, *place in connection.execute(DUPLICATES):
        event = event_at(published, place)
        assert (order_id, event_time) == event[:2]
        assert differs == (event.document != entries[order_id, event_time].document)


def fold(
    log: Sequence[Any], published: dict[Coordinates, Sent], moved: set[int]
) -> dict[int, Event]:
    """The deliveries that the log says there are, in its own order. Its outcomes must be so."""
    shaped: dict[int, Event] = {}
    late: set[int] = set()  # orders whose status had moved when an event came
    for order_id, _, outcome, _, *place in log:
        event = event_at(published, place)
        if order_id not in shaped:
            possible = {"created"}
        elif event.event_time <= shaped[order_id].event_time:
            possible = {"stale"}
        else:
            possible = {"updated"} - ({"updated"} if order_id in late else set())
            possible |= {"too_late"} if order_id in moved else set()
        assert outcome in possible, f"order {order_id}: {outcome}, possible: {possible}"
        if outcome in {"created", "updated"}:
            shaped[order_id] = event
        elif outcome == "too_late":
            late.add(order_id)
    return shaped


def event_at(published: dict[Coordinates, Sent], place: Sequence[int]) -> Event:
    """The event of the record at this place."""
    event = published[place[0], place[1]].event
    assert event is not None, f"the record at {place} is none that can be processed"
    return event


def checksums(connection: Connection) -> dict[str, str]:
    """Of each table one that changes with any row."""
    found = {}
    for table in metadata.tables:
        row = connection.execute(sql.SQL(CHECKSUM).format(sql.Identifier(table))).fetchone()
        assert row is not None
        found[table] = row[0]
    return found


def lag(environment: Environment) -> dict[int, int]:
    """How many records of each partition are not committed by the group."""
    with closing(
        KafkaConsumer(bootstrap_servers=environment.brokers.addresses, group_id=GROUP)
    ) as consumer:
        partitions = [TopicPartition(TOPIC, p) for p in consumer.partitions_for_topic(TOPIC)]
        ends = consumer.end_offsets(partitions)
        return {p.partition: ends[p] - (consumer.committed(p) or 0) for p in partitions}
