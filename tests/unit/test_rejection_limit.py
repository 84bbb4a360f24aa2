"""When records that are rejected in a row stop the worker, and what it says then."""

import pytest

from delivery.domain.event import Rejection
from delivery.domain.record import Record
from delivery.errors import FloodError
from delivery.inbox.rejection_limit import RejectionLimit

NOT_JSON = Rejection("not_json", "Invalid JSON: expected ident at line 1 column 2")
NO_TIME = Rejection("missing_field", "createdAt: Field required", 7)
REFUSED = Rejection("refused_by_database", "SQLSTATE P0001: two\nlines")


def records(count: int, first: int = 0, partition: int = 3) -> list[Record]:
    return [
        Record("orders", partition, first + n, None, b"key", b"value", []) for n in range(count)
    ]


def check(
    limit: RejectionLimit, outcomes: str, rejection: Rejection = NOT_JSON, partition: int = 3
) -> None:
    """Has `limit` see a batch as the inbox does: x for each rejected record, . for any other."""
    batch = records(len(outcomes), partition=partition)
    rejected = [(one, rejection) for one, o in zip(batch, outcomes, strict=True) if o == "x"]
    limit.streaks = limit.checked(batch, rejected)


def streak(limit: RejectionLimit, partition: int | None = None) -> int:
    return limit.streaks.get(None if partition is None else ("orders", partition), 0)


# What becomes no new dead letter is no rejection here: an accepted record, a duplicate, a
# redelivery, and a record whose dead letter is known.
@pytest.mark.parametrize(
    ("batches", "length"),
    [
        ([""], 0),
        (["x"], 1),
        (["xx"], 2),
        ([".xx"], 2),
        (["xx."], 0),
        (["xx.x"], 1),
        (["xx.xx.xx"], 2),
        (["x", "x"], 2),
        (["xx", ".xx"], 2),
        (["xx", ".", "xx"], 2),
        (["x", "x.x", "x"], 2),
    ],
)
def test_fewer_than_the_limit_in_a_row_are_no_flood(batches: list[str], length: int) -> None:
    limit = RejectionLimit(limit=3)
    for batch in batches:
        check(limit, batch)
    assert streak(limit) == length


@pytest.mark.parametrize(
    ("before", "last"),
    [
        ([], "xxx"),
        ([], ".xxx."),
        ([], "xxxxxx"),
        ([], "xx.xxx"),
        (["x", "x"], "x"),
        (["xx"], "x."),
        (["x.x"], "xx"),
        (["x.", ".x"], "xx"),
    ],
)
def test_the_third_in_a_row_is_a_flood_in_whichever_batch(before: list[str], last: str) -> None:
    limit = RejectionLimit(limit=3)
    for batch in before:
        check(limit, batch)
    with pytest.raises(FloodError):
        check(limit, last)


@pytest.mark.parametrize("batch", [".", "x", ".x", "x.", "xxxx", ".xx.xx.", "x" * 5000])
def test_without_a_limit_nothing_is_a_flood(batch: str) -> None:
    check(RejectionLimit(limit=0), batch)
    check(RejectionLimit(), batch)


def test_a_limit_of_one_stops_at_the_first() -> None:
    check(RejectionLimit(limit=1), "...")
    with pytest.raises(FloodError):
        check(RejectionLimit(limit=1), "..x")


def test_the_row_stays_as_it_was_where_the_batch_was_not_written() -> None:
    limit = RejectionLimit(limit=3, streaks={None: 1, ("orders", 3): 1})
    with pytest.raises(FloodError):
        check(limit, "xx")
    assert streak(limit) == 1


def test_a_flood_says_what_how_many_and_where_and_no_value() -> None:
    batch = records(5, first=40)
    rejected = [(batch[0], NO_TIME), *((one, NOT_JSON) for one in batch[2:])]
    with pytest.raises(FloodError) as caught:
        RejectionLimit(limit=3).checked(batch, rejected)
    message = str(caught.value)
    assert "3 records in a row were rejected, the last at orders/3/44;" in message
    assert "3 of 4 in this batch for not_json: Invalid JSON: expected ident" in message
    assert "DELIVERY_MAX_REJECTED_IN_A_ROW" in message
    assert "\n" not in message
    assert "key" not in message
    assert "value" not in message


def test_a_flood_is_one_line_whatever_a_trigger_says() -> None:
    with pytest.raises(FloodError, match="SQLSTATE P0001: two lines") as caught:
        check(RejectionLimit(limit=1), "x", REFUSED)
    assert "\n" not in str(caught.value)


def test_a_wholly_broken_partition_is_a_flood_among_healthy_ones() -> None:
    limit = RejectionLimit(limit=3)
    for _ in range(2):
        check(limit, "x", partition=1)
        check(limit, "..", partition=2)
    assert (streak(limit), streak(limit, 1), streak(limit, 2)) == (0, 2, 0)
    with pytest.raises(FloodError, match="of partition orders/1 were rejected"):
        check(limit, "x", partition=1)


def test_records_of_several_partitions_are_counted_in_the_order_of_their_arrival() -> None:
    limit = RejectionLimit(limit=3)
    check(limit, "x", partition=1)
    check(limit, "x", partition=2)
    with pytest.raises(FloodError, match="3 records in a row were rejected"):
        check(limit, "x", partition=4)


def test_a_partition_is_healthy_again_at_its_first_good_record() -> None:
    limit = RejectionLimit(limit=3)
    check(limit, "xx", partition=1)
    check(limit, ".", partition=2)
    check(limit, ".", partition=1)
    assert limit.streaks == {}
