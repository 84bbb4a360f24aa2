"""What verify finds about announcements: nothing, until somebody tampers with them."""

import pytest
from records import batch, value

from delivery.announce import announcements, outbox
from delivery.announce.announcements import Topic
from delivery.broker.transactions import PartitionOffset
from delivery.domain.event import Contract
from delivery.domain.record import UNKNOWN_TOPIC_ID
from delivery.inbox import transaction
from delivery.postgres.database import Connection
from delivery.verify import Progress, findings

CONTRACT = Contract()


def found(connection: Connection) -> list[tuple[str, int | None]]:
    with connection.transaction():
        all_of_it = findings(connection, CONTRACT, {}, lambda *_: [], Progress())
        return [(finding.kind, finding.order_id) for finding in all_of_it]


@pytest.fixture
def announced(connection: Connection) -> Connection:
    """Order 1 is of before the outbox, 2 is announced, 3 is to be, 4 is of behind the outbox."""
    transaction.process(connection, CONTRACT, batch(value(1)))
    write = outbox.of_worker(connection, is_wanted=True)
    transaction.process(connection, CONTRACT, batch(value(2), value(3), first=1), write)
    rows = announcements.open_rows(connection, 1)
    announcements.mark(connection, Topic("t", UNKNOWN_TOPIC_ID), rows, [PartitionOffset(0, 0)])
    outbox.switch_off(connection)
    transaction.process(connection, CONTRACT, batch(value(4), first=3))
    return connection


def test_nothing_is_found_where_each_is_announced_or_open(announced: Connection) -> None:
    assert found(announced) == []


@pytest.mark.parametrize(
    ("tampering", "findings"),
    [
        ("DELETE FROM outbox", [("unannounced_delivery", 3)]),
        (
            "INSERT INTO announcements VALUES (9, now(), now(), 't', 0, 9)",
            [("announced_nothing", 9)],
        ),
        ("INSERT INTO outbox VALUES (now(), 8, now())", [("announced_nothing", 8)]),
        (
            "INSERT INTO outbox SELECT now(), order_id, event_time FROM announcements",
            [("announced_and_open", 2)],
        ),
    ],
)
def test_each_tampering_is_found(
    announced: Connection, tampering: str, findings: list[tuple[str, int]]
) -> None:
    announced.execute(tampering)
    assert found(announced) == findings


def test_a_delivery_of_a_worker_without_the_setting_is_found(announced: Connection) -> None:
    outbox.of_worker(announced, is_wanted=True)
    transaction.process(announced, CONTRACT, batch(value(5), first=4))
    assert found(announced) == [("unannounced_delivery", 5)]
