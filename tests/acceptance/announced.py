"""What a reader of committed records finds among the announcements, and what must be there."""

import json
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.protocol.consumer.offsets import OffsetSpec
from service import Service

# `delivery announce`, but that it sends itself a signal at the Nth call of a function, before it or
# after it.
DOOMED = """
import os, pkgutil, signal, sys
from delivery import cli

number, owner, function, moment, calls, *options = sys.argv[1:]
sys.argv[1:] = ["announce", *options]
owner, left = pkgutil.resolve_name(owner), int(calls)
original = getattr(owner, function)

def doomed(*arguments, **named):
    global left
    left -= 1
    if not left and moment == "before":
        os.kill(os.getpid(), signal.Signals[number])
    result = original(*arguments, **named)
    if not left and moment == "after":
        os.kill(os.getpid(), signal.Signals[number])
    return result

setattr(owner, function, doomed)
sys.exit(cli.run())
"""

CREATED = "SELECT order_id, event_time FROM processed_events WHERE outcome = 'created'"
MARKED = """
SELECT announced_partition, announced_offset, order_id FROM announcements
WHERE announced_topic = %s
"""


def records(service: Service, topic: str) -> list[Any]:
    """The committed records up to the present end, partition by partition."""
    with closing(KafkaAdminClient(bootstrap_servers=service.bootstrap_servers)) as admin:
        (described,) = admin.describe_topics([topic])
        partitions = [TopicPartition(topic, p["partition_index"]) for p in described["partitions"]]
        ends = admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
    consumer = KafkaConsumer(
        bootstrap_servers=service.bootstrap_servers,
        isolation_level="read_committed",
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    with closing(consumer):
        consumer.assign(partitions)
        found: list[Any] = []
        while any(consumer.position(p) < ends[p].offset for p in partitions):
            for some in consumer.poll(500).values():
                found += some
    return found


def orders(found: Sequence[Any]) -> list[int]:
    """The orders that these records announce."""
    return [json.loads(record.value)["event"]["orderId"] for record in found]


def open_rows(service: Service) -> int:
    ((rows,),) = service.connection.execute("SELECT count(*) FROM outbox")
    return int(rows)


def assert_announced_once(service: Service, topic: str) -> None:
    """Each created delivery has one record, and a row that says where; nothing else is there."""
    found = records(service, topic)
    created = {order_id for order_id, _ in service.connection.execute(CREATED)}
    told = orders(found)
    assert len(told) == len(set(told)), "a delivery is announced twice"
    assert set(told) == created
    assert open_rows(service) == 0
    places = {(record.partition, record.offset, int(record.key)) for record in found}
    assert places == set(service.connection.execute(MARKED, (topic,)).fetchall())
    assert len({json.loads(record.value)["eventId"] for record in found}) == len(found)
