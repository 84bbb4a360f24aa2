"""How a dead letter is told: contents as text or in hexadecimal, one line for how it stands."""

from datetime import UTC, datetime

import pytest

from delivery.dead_letters import advice, rendering
from delivery.dead_letters.letter import DeadLetter, LetterStatus
from delivery.domain.record import Header, Record
from delivery.domain.vocabulary import REASONS

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def letter(content: bytes | None, *headers: Header) -> DeadLetter:
    record = Record("orders", 3, 7, NOON, content, content, headers)
    length = None if content is None else len(content)
    return DeadLetter(1, record, length, NOON, "not_json", "an error", None, None, None, None, None)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, None),
        (b"", ""),
        ("문 앞\u3000에\t{\r\n}\n".encode(), "문 앞\u3000에\t{\r\n}\n"),
        (b"\xff{", "0xff7b"),
        (b"\0\0\0\7", "0x00000007"),
        (b"\x1b[2J", "0x1b5b324a"),  # orders to a terminal
        ("\x9b2J".encode(), "0xc29b324a"),
        (b"over\rwritten", "0x6f7665720d7772697474656e"),
        (b"\x7f", "0x7f"),
        (b"0x41", "0x30783431"),  # else it would pass for an A in hexadecimal
        (b"a0x41", "a0x41"),
    ],
)
def test_contents_are_text_where_a_terminal_can_show_it(
    content: bytes | None, told: str | None
) -> None:
    whole = rendering.members(letter(content, ("a", content)))
    assert (whole["record_key"], whole["record_value"]) == (told, told)
    assert whole["record_headers"] == [{"key": "a", "value": told}]


@pytest.mark.parametrize(
    ("cut", "text"), [(True, "문 "), (False, f"0x{'문 앞'.encode()[:-1].hex()}")]
)
def test_a_character_at_the_end_is_left_out_only_where_it_was_cut(cut: bool, text: str) -> None:
    assert rendering.readable("문 앞".encode()[:-1], is_cut=cut) == text


def test_people_see_each_header_and_no_order_to_their_terminal() -> None:
    told = list(rendering.lines(letter(b"\x1b", ("a", b"1"), ("a", None), ("\x1b", b"\x1b"))))
    assert [line[18:] for line in told if line.startswith("record_header:")] == [
        "a=1",
        "a=",
        "0x1b=0x1b",
    ]
    assert "\x1b" not in "".join(told)


def test_how_a_letter_stands_is_one_line() -> None:
    status = LetterStatus(4, ("orders", 3, 7), "refused_by_database", "SQLSTATE P0001: a\nb", None)
    assert rendering.status_line(status) == (
        "4 (orders/3/7) stays: refused_by_database: SQLSTATE P0001: a b"
    )
    assert rendering.status_line(status._replace(resolution="discarded")) == (
        "4 (orders/3/7) discarded"
    )


def test_there_is_advice_for_each_reason() -> None:
    assert set(advice.ADVICE) == set(REASONS)
