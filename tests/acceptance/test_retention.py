"""Records that retention deleted before the group read them are told of, and only those."""

import time
from contextlib import closing

from kafka import KafkaAdminClient, TopicPartition
from processes import Process
from service import Service
from stream import Sent


def publish(service: Service, first: int, number: int, partition: int = 0) -> None:
    """Publishes the events of so many orders, from the order with that id on."""
    value = '{"event": {"orderId": %d}, "createdAt": [2026,1,1,0,0]}'
    now = round(time.time() * 1000)
    service.publish(
        Sent(partition, None, (value % n).encode(), now, None) for n in range(first, first + number)
    )


def delete(service: Service, offset: int) -> None:
    """Deletes the records of partition 0 before that offset, as retention would."""
    with closing(KafkaAdminClient(bootstrap_servers=service.bootstrap_servers)) as admin:
        admin.delete_records({TopicPartition(service.topic, 0): offset})


def drained(service: Service, **settings: str) -> Process:
    worker = service.worker("--drain", **settings)
    assert worker.exit_code() == 0, worker.stderr()
    return worker


def test_records_deleted_unread_are_told_of(service: Service) -> None:
    publish(service, 1, 10)
    assert service.drain() == {"created": 10}
    publish(service, 11, 20)
    delete(service, 18)
    worker = drained(service)
    (warning,) = worker.warnings()
    assert warning["event"] == "records were deleted unread by retention"
    told = {name: warning[name] for name in ("partition", "first_offset", "last_offset", "records")}
    assert told == {
        "partition": f"{service.topic}/0",
        "first_offset": 10,
        "last_offset": 17,
        "records": 8,
    }
    assert worker.totals() == {"created": 12, "lost_to_retention": 8}
    # It is told once: the group is past the place now.
    again = drained(service)
    assert (again.warnings(), again.totals()) == ([], {})
    # A new group has read nothing, and so has lost nothing.
    new = drained(service, kafka_group_id="another")
    assert (new.warnings(), new.totals()) == ([], {"redelivered": 12})


def test_it_is_counted_too_where_nothing_is_left(service: Service) -> None:
    publish(service, 1, 3)
    assert service.drain() == {"created": 3}
    publish(service, 4, 5)
    delete(service, 8)
    worker = drained(service)
    assert [warning["records"] for warning in worker.warnings()] == [5]
    assert worker.totals() == {"lost_to_retention": 5}


def test_what_was_deleted_after_it_was_read_is_no_loss(service: Service) -> None:
    publish(service, 1, 10)
    assert service.drain() == {"created": 10}
    publish(service, 11, 5)
    delete(service, 10)
    worker = drained(service)
    assert (worker.warnings(), worker.totals()) == ([], {"created": 5})
