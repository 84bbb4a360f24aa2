"""Charts: bars as long as their numbers, none that is lost, none that leaves the drawing."""

from datetime import UTC, datetime, timedelta

import pytest

from delivery.web.pages.charts import HEIGHT, WIDTH, bars, columns, round_above

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def counted(*numbers: int) -> list[tuple[datetime, int]]:
    return [(NOON + n * timedelta(minutes=1), number) for n, number in enumerate(numbers)]


def test_columns_stand_side_by_side_in_their_order() -> None:
    chart = columns(counted(50, 100, 0, 25))
    assert chart.top == 100
    assert [bar.height for bar in chart.bars] == [HEIGHT / 2, HEIGHT, 0, HEIGHT / 4]
    assert [bar.y + bar.height for bar in chart.bars] == [HEIGHT] * 4
    ends = [bar.x + bar.width for bar in chart.bars]
    assert all(end < bar.x for end, bar in zip(ends, chart.bars[1:], strict=False))
    assert ends[-1] <= WIDTH
    assert [(bar.at, bar.number) for bar in chart.bars] == counted(50, 100, 0, 25)


def test_one_record_beside_a_million_is_to_be_seen() -> None:
    assert columns(counted(1, 1_000_000)).bars[0].height >= 1
    assert bars([("a", 1), ("b", 1_000_000)])[0].width >= 1


def test_nothing_has_no_bar() -> None:
    assert columns([]).bars == ()
    assert [bar.height for bar in columns(counted(0, 0)).bars] == [0, 0]
    assert [bar.width for bar in bars([("a", 0)])] == [0]


def test_the_widest_bar_is_the_whole_and_the_others_its_parts() -> None:
    assert [bar.width for bar in bars([("a", 30), ("b", 60)])] == [50, 100]


@pytest.mark.parametrize(
    ("number", "above"), [(0, 1), (1, 1), (3, 5), (5, 5), (11, 20), (99, 100), (201, 500)]
)
def test_the_scale_ends_at_a_round_number(number: int, above: int) -> None:
    assert round_above(number) == above
