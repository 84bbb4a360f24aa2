"""Up to which time the log is complete, as looks at the running transactions tell it."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from delivery.web.watermark import Looks

BEGIN = datetime(2026, 11, 26, tzinfo=UTC)
SECOND = timedelta(seconds=1)
WINDOW = 60 * SECOND


def test_without_a_transaction_it_is_complete_up_to_now() -> None:
    assert Looks(WINDOW).add(BEGIN, []) == BEGIN


def test_one_that_is_there_at_the_first_look_may_have_begun_a_window_ago() -> None:
    assert Looks(WINDOW).add(BEGIN, ["1/1"]) == BEGIN - WINDOW


def test_a_new_one_began_after_the_look_before_and_holds_back_what_came_since() -> None:
    looks = Looks(WINDOW)
    looks.add(BEGIN, [])
    assert looks.add(BEGIN + SECOND, ["1/1"]) == BEGIN
    assert looks.add(BEGIN + 9 * SECOND, ["1/1", "2/1"]) == BEGIN
    assert looks.add(BEGIN + 10 * SECOND, ["2/1"]) == BEGIN + SECOND
    assert looks.add(BEGIN + 11 * SECOND, []) == BEGIN + 11 * SECOND


def test_one_that_outlives_the_window_holds_nothing_back_any_more() -> None:
    looks = Looks(WINDOW)
    looks.add(BEGIN, ["dump"])
    assert looks.add(BEGIN + 100 * SECOND, ["dump"]) == BEGIN + 40 * SECOND


transactions = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 59)), max_size=20)


@given(transactions, st.sets(st.integers(0, 120)))
def test_no_row_appears_below_it_and_it_never_decreases(
    lives: list[tuple[int, int]], seconds: set[int]
) -> None:
    """A transaction reads its clock at its begin, the worst case, and commits some time later."""
    looks, last = Looks(WINDOW), BEGIN - WINDOW
    for second in sorted(seconds):
        running = [n for n, (begin, lasts) in enumerate(lives) if begin <= second <= begin + lasts]
        mark = looks.add(BEGIN + second * SECOND, map(str, running))
        assert all(BEGIN + lives[n][0] * SECOND >= mark for n in running)
        assert mark >= last
        last = mark
