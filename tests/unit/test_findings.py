"""What is called wrong with a status, and in which words."""

from datetime import UTC, datetime, timedelta

import pytest

from delivery.broker.consumption import Consumption
from delivery.broker.group import Group, Member
from delivery.broker.lag import Behind
from delivery.status import Log, Status
from delivery.status.findings import findings
from delivery.status.words import age

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
READER = Member("delivery-1", "10.0.0.1", (("orders", 0), ("orders", 1)))


def minutes_ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def behind(partition: int, lag: int, waits: float | None = None, lost: int = 0) -> Behind:
    """A partition where so many records wait, the oldest for so many minutes."""
    oldest = None if waits is None else minutes_ago(waits)
    return Behind("orders", partition, 100, 100 + lag, lag, oldest, lost)


def told(*partitions: Behind, members: tuple[Member, ...] = (READER,), **log: object) -> list[str]:
    """What is found, as `kind: text`."""
    known = Log(now=NOW, **{"last_consumed_at": minutes_ago(0.1)} | log)  # type: ignore[arg-type]
    group = Group("g", "Stable" if members else "Empty", members)
    status = Status(known, Consumption(group, list(partitions)))
    return [f"{kind}: {text}" for kind, text in findings(status)]


def test_nothing_is_wrong_where_members_read_every_partition_and_nothing_waits() -> None:
    assert told(behind(0, 0), behind(1, 0)) == []


def test_records_that_wait_for_a_moment_are_no_finding() -> None:
    assert told(behind(0, 500, waits=0.2), behind(1, 0)) == []


def test_a_group_without_members_is_told_with_what_waits_and_since_when() -> None:
    assert told(behind(0, 2999, waits=3), behind(1, 1, waits=12), members=()) == [
        "nobody_consumes: nobody consumes: no member in group g, 3,000 records wait, oldest 12 min"
    ]


def test_a_group_without_members_is_told_also_where_nothing_waits_yet() -> None:
    assert told(behind(0, 0), members=()) == [
        "nobody_consumes: nobody consumes: no member in group g, no record waits"
    ]


def test_a_partition_that_no_member_reads_is_named() -> None:
    assert told(behind(0, 0), behind(1, 0), behind(2, 7)) == [
        "partition_unread: no member of group g reads orders/2, where 7 records wait"
    ]


def test_while_members_join_no_partition_is_called_unread() -> None:
    joining = Group("g", "CompletingRebalance", (Member("delivery-1", "10.0.0.1", ()),))
    assert findings(Status(None, Consumption(joining, [behind(0, 0)]))) == []


def test_workers_that_do_not_move_are_told_from_workers_that_are_behind() -> None:
    waiting = behind(0, 1, waits=12), behind(1, 0)
    assert told(*waiting) == [
        "behind: the workers are behind: 1 record waits, oldest 12 min",
    ]
    assert told(*waiting, last_consumed_at=minutes_ago(10)) == [
        "stuck: the workers do not move: 1 record waits, oldest 12 min, and no record has reached "
        "the log for 10 min; their log says why"
    ]


def test_workers_that_have_never_moved_are_told_from_the_first_minute_on() -> None:
    assert [text[:6] for text in told(behind(0, 1, waits=2), last_consumed_at=None)] == ["stuck:"]
    assert told(behind(0, 1, waits=0.9), behind(1, 0), last_consumed_at=None) == []


def test_offsets_without_a_record_are_no_finding() -> None:
    """Markers of transactions have offsets, and no worker has anything to do with them."""
    assert told(behind(0, 3), behind(1, 0), last_consumed_at=minutes_ago(60)) == []


def test_records_that_retention_deleted_unread_are_told() -> None:
    assert told(behind(0, 0, lost=4), behind(1, 0, lost=1)) == [
        "lost_to_retention: 5 records were deleted by retention before they were read"
    ]


def test_a_schema_of_another_revision_is_told() -> None:
    assert told(behind(0, 0), behind(1, 0), wrong_schema="run `delivery migrate`") == [
        "wrong_schema: run `delivery migrate`"
    ]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (754, "12 min"),
        (3600, "1 h"),
        (11_100, "3 h 5 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_an_age_is_told_in_its_largest_units(seconds: float, words: str) -> None:
    assert age(timedelta(seconds=seconds)) == words
