"""Which records of a batch the log lacked, and when nothing is looked for any more."""

from uuid import UUID

import pytest
import structlog
from fake_consumer import FakeConsumer

from delivery.domain.record import PartitionLog, Record
from delivery.inbox import log_end
from delivery.worker.log_check import LogCheck

TOPIC_ID = UUID(int=1)
PARTITION: PartitionLog = ("orders", 0, TOPIC_ID)


def records(first: int, end: int) -> list[Record]:
    offsets = range(first, end)
    return [Record("orders", 0, n, None, None, b"", [], TOPIC_ID) for n in offsets]


class Database:
    is_open = True


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> LogCheck:
    """The group has committed 10, and the log ends at 4."""
    consumer = FakeConsumer([])
    monkeypatch.setattr(consumer, "claims", lambda: {PARTITION: 10})
    monkeypatch.setattr(log_end, "missing_from", lambda _connection, _claims: {PARTITION: 4})
    check = LogCheck(consumer, Database())  # type: ignore[arg-type]
    assert check.is_due()
    check.check(None)  # type: ignore[arg-type]
    assert not check.is_due()
    assert consumer.position == 4
    return check


def test_records_below_the_committed_offset_are_counted_with_a_warning(check: LogCheck) -> None:
    with structlog.testing.capture_logs() as logged:
        assert check.lacked(records(4, 12)) == 6
    (warning,) = logged
    assert (warning["first_offset"], warning["last_offset"]) == (4, 9)


def test_they_are_counted_batch_by_batch_up_to_that_offset(check: LogCheck) -> None:
    batches = [records(4, 7), records(7, 10), records(10, 13)]
    assert [check.lacked(batch) for batch in batches] == [3, 3, 0]


def test_a_partition_that_is_read_up_to_there_is_not_looked_at_again(check: LogCheck) -> None:
    check.lacked(records(4, 9))
    assert check._ends == {PARTITION: 10}
    check.lacked(records(9, 10))
    assert check._ends == {}


def test_offsets_without_a_record_are_behind_with_the_first_record_after_them(
    check: LogCheck,
) -> None:
    """Such as a transaction's markers: nothing was lacking, and nothing is said."""
    with structlog.testing.capture_logs() as logged:
        assert check.lacked(records(11, 12)) == 0
    assert (logged, check._ends) == ([], {})
