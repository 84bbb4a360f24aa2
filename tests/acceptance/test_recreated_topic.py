"""A topic that is deleted and made anew under its name: nothing of it is taken for the old one."""

import signal
import time
from contextlib import closing

import publishing
import pytest
from kafka import KafkaAdminClient
from service import Service
from stream import Sent
from test_commands import delivery

EVENT = b'{"event": {"orderId": %d}, "createdAt": [2026,1,1,0,0]}'
BY_TOPIC = """
SELECT count(*), count(DISTINCT record_topic_id), min(record_offset), max(record_offset)
FROM event_history GROUP BY record_topic_id ORDER BY 1
"""


def records(first: int, number: int, broken: bool = False) -> list[Sent]:
    """Events of so many orders, or as many records that are none."""
    now = round(time.time() * 1000)
    values = [b"no JSON" if broken else EVENT % n for n in range(first, first + number)]
    return [Sent(0, None, value, now, None) for value in values]


def recreate(service: Service) -> None:
    with closing(KafkaAdminClient(bootstrap_servers=service.bootstrap_servers)) as admin:
        publishing.recreate(admin, service.topic)


def assert_verified(service: Service) -> None:
    done = delivery("verify", **service.settings)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.parametrize("number", [200, 30])
def test_a_frozen_worker_reads_the_new_topic_from_its_beginning(
    service: Service, number: int
) -> None:
    """With more records than it has read of the old one, and with fewer."""
    worker = service.worker()
    service.publish(records(1, 50))
    service.wait_until_accounted(50)
    worker.running.send_signal(signal.SIGSTOP)
    recreate(service)
    service.publish(records(51, number))
    worker.running.send_signal(signal.SIGCONT)
    service.wait_until_accounted(50 + number)
    assert worker.end() == 0
    assert sum("made anew" in warning["event"] for warning in worker.warnings()) == 1
    assert service.connection.execute(BY_TOPIC).fetchall() == sorted(
        [(50, 1, 0, 49), (number, 1, 0, number - 1)]
    )
    assert service.committed() == {0: number}
    assert_verified(service)


def test_a_worker_that_was_down_begins_at_the_beginning_and_each_letter_is_kept(
    service: Service,
) -> None:
    service.publish([*records(1, 3), *records(0, 2, broken=True)])
    assert service.drain() == {"created": 3, "rejected": 2}
    recreate(service)
    service.publish([*records(0, 4, broken=True), *records(1, 6)])
    totals = service.drain()
    assert totals == {"rejected": 4, "created": 3, "duplicate": 3}
    letters = service.connection.execute(
        "SELECT record_offset FROM dead_letters ORDER BY record_offset, dead_letter_id"
    ).fetchall()
    assert [offset for (offset,) in letters] == [0, 1, 2, 3, 3, 4]
    assert_verified(service)
    # Read once more by another group it changes nothing.
    again = service.drain(kafka_group_id="another")
    assert again == {"redelivered": 10}
    assert_verified(service)
