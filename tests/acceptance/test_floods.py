"""A producer that breaks its agreement stops the worker, before thousands of dead letters."""

import json
import time
from collections.abc import Callable

from service import Service
from stream import Sent

from delivery.postgres.database import Connection

COUNTS = """
SELECT (SELECT count(*) FROM processed_events), (SELECT count(*) FROM deliveries),
       (SELECT count(*) FROM dead_letters)
"""


def good(first: int, number: int) -> list[Sent]:
    """Events of so many orders, from the order with that id on."""
    value = '{"event": {"orderId": %d}, "createdAt": [2026,1,1,0,0]}'
    return [sent((value % n).encode()) for n in range(first, first + number)]


def broken(number: int) -> list[Sent]:
    return [sent(b'{"order": "a secret"}') for _ in range(number)]


def sent(value: bytes) -> Sent:
    return Sent(0, b"key", value, round(time.time() * 1000), None)


def counts(connection: Connection) -> tuple[int, int, int]:
    ((events, deliveries, letters),) = connection.execute(COUNTS)
    return events, deliveries, letters


def assert_stopped_by_a_flood(service: Service, *told: str, **settings: str) -> None:
    worker = service.worker("--drain", **settings)
    assert worker.exit_code() == 1
    *logs, last = worker.stderr().splitlines()
    assert {json.loads(line)["level"] for line in logs} <= {"info", "warning"}
    assert last.startswith("delivery: ")
    for text in told:
        assert text in last


def test_a_flood_stops_the_worker_and_nothing_of_its_batch_is_written(
    service: Service, connection: Connection
) -> None:
    service.publish([*good(1, 50), *broken(1500), *good(51, 50)])
    told = ("1000 records in a row were rejected", f"{service.topic}/0/1049", "missing_field")
    assert_stopped_by_a_flood(service, *told)
    assert "a secret" not in service.started[0].stderr()
    assert counts(connection) == (0, 0, 0)
    assert service.committed() == {}
    assert service.drain(max_rejected_in_a_row="0") == {"created": 100, "rejected": 1500}
    assert counts(connection) == (100, 100, 1500)
    # They are known now: who reads the topic again is not stopped by them.
    assert service.drain(kafka_group_id="another") == {"redelivered": 1600}


def test_the_batches_before_the_one_that_completes_the_row_are_kept(
    service: Service, connection: Connection
) -> None:
    service.publish([*good(1, 50), *broken(1500)])
    assert_stopped_by_a_flood(service, f"{service.topic}/0/1049", batch_size="300")
    assert counts(connection) == (50, 50, 850)
    assert service.committed() == {0: 900}


def test_broken_records_with_a_good_one_between_them_are_no_flood(
    service: Service, connection: Connection
) -> None:
    service.publish([*broken(9), *good(1, 1), *broken(9), *good(2, 1), *broken(9)])
    limited = {"max_rejected_in_a_row": "10", "batch_size": "4"}
    assert service.drain(**limited) == {"created": 2, "rejected": 27}
    assert counts(connection) == (2, 2, 27)


def test_a_database_that_refuses_every_row_is_a_flood(
    service: Service, connection: Connection, contents: Callable[[], dict[str, list[str]]]
) -> None:
    connection.execute("ALTER TABLE deliveries ADD CONSTRAINT none CHECK (false)")
    before = contents()
    service.publish(good(1, 150))
    told = ("100 records in a row were rejected", "refused_by_database: SQLSTATE 23514")
    limited = {"max_rejected_in_a_row": "100", "kafka_session_timeout": "30"}
    assert_stopped_by_a_flood(service, *told, **limited)
    assert (contents(), service.committed()) == (before, {})
    connection.execute("ALTER TABLE deliveries DROP CONSTRAINT none")
    assert service.drain(**limited) == {"created": 150}


def test_a_long_flood_that_only_the_database_sees_outlasts_no_session_timeout(
    service: Service, connection: Connection
) -> None:
    connection.execute("ALTER TABLE deliveries ADD CONSTRAINT none CHECK (false)")
    service.publish(good(1, 1500))
    told = ("1000 records in a row were rejected", "refused_by_database: SQLSTATE 23514")
    assert_stopped_by_a_flood(service, *told, kafka_session_timeout="6")
    assert counts(connection) == (0, 0, 900)  # found few by few, each few in its transaction
    connection.execute("ALTER TABLE deliveries DROP CONSTRAINT none")
    assert service.drain() == {"created": 1500}
    ((resolved,),) = connection.execute(
        "SELECT count(*) FROM dead_letters WHERE resolution = 'replayed'"
    )
    assert resolved == 900
