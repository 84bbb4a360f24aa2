"""When records that are rejected in a row stop the worker, and what it says then."""

import pytest

from delivery.domain.event import Rejection
from delivery.domain.record import Record
from delivery.errors import FloodError
from delivery.inbox.rejection_limit import Flood

NOT_JSON = Rejection("not_json", "Invalid JSON: expected ident at line 1 column 2")
NO_TIME = Rejection("missing_field", "createdAt: Field required", 7)
REFUSED = Rejection("refused_by_database", "SQLSTATE P0001: two\nlines")


def records(count: int, first: int = 0) -> list[Record]:
    return [Record("orders", 3, first + n, None, b"key", b"value", []) for n in range(count)]


def check(flood: Flood, outcomes: str, no: Rejection = NOT_JSON) -> None:
    """Has `flood` see a batch as the inbox does: x for each rejected record, . for any other."""
    batch = records(len(outcomes))
    rejected = [(one, no) for one, outcome in zip(batch, outcomes, strict=True) if outcome == "x"]
    flood.row = flood.checked(batch, rejected)


# What becomes no new dead letter is no rejection here: an accepted record, a duplicate, a
# redelivery, and a record whose dead letter is known.
@pytest.mark.parametrize(
    ("batches", "row"),
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
def test_fewer_than_the_limit_in_a_row_are_no_flood(batches: list[str], row: int) -> None:
    flood = Flood(limit=3)
    for batch in batches:
        check(flood, batch)
    assert flood.row == row


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
    flood = Flood(limit=3)
    for batch in before:
        check(flood, batch)
    with pytest.raises(FloodError):
        check(flood, last)


@pytest.mark.parametrize("batch", [".", "x", ".x", "x.", "xxxx", ".xx.xx.", "x" * 5000])
def test_without_a_limit_nothing_is_a_flood(batch: str) -> None:
    check(Flood(limit=0), batch)
    check(Flood(), batch)


def test_a_limit_of_one_stops_at_the_first() -> None:
    check(Flood(limit=1), "...")
    with pytest.raises(FloodError):
        check(Flood(limit=1), "..x")


def test_the_row_stays_as_it_was_where_the_batch_was_not_written() -> None:
    flood = Flood(limit=3, row=1)
    with pytest.raises(FloodError):
        check(flood, "xx")
    assert flood.row == 1


def test_a_flood_says_what_how_many_and_where_and_no_value() -> None:
    batch = records(5, first=40)
    rejected = [(batch[0], NO_TIME), *((one, NOT_JSON) for one in batch[2:])]
    with pytest.raises(FloodError) as caught:
        Flood(limit=3).checked(batch, rejected)
    message = str(caught.value)
    assert "3 records in a row were rejected, the last at orders/3/44;" in message
    assert "3 of 4 in this batch for not_json: Invalid JSON: expected ident" in message
    assert "DELIVERY_MAX_REJECTED_IN_A_ROW" in message
    assert "\n" not in message
    assert "key" not in message
    assert "value" not in message


def test_a_flood_is_one_line_whatever_a_trigger_says() -> None:
    with pytest.raises(FloodError, match="SQLSTATE P0001: two lines") as caught:
        check(Flood(limit=1), "x", REFUSED)
    assert "\n" not in str(caught.value)
