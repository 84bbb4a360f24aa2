"""Cursors: given back as they came, and nothing else is one."""

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.web.api import cursor

ASKED = "/api/events [('outcome', 'stale')]"
VALUES = [
    None,
    "2026-11-23T10:00:00+00:00",
    ["2026-11-23T10:00:00.5+00:00", "orders", 0, 2**63 - 1],
]


def test_a_cursor_holds_what_was_written() -> None:
    assert cursor.read(ASKED, cursor.write(ASKED, VALUES)) == VALUES


def test_a_cursor_can_stand_in_an_address_as_it_is() -> None:
    for number in range(100):
        assert re.fullmatch(r"[A-Za-z0-9._~-]+", cursor.write(ASKED, [number]))


def test_a_cursor_of_another_list_is_none() -> None:
    with pytest.raises(ValueError, match="not a cursor of this list"):
        cursor.read("/api/events []", cursor.write(ASKED, VALUES))


@given(st.data())
def test_a_cursor_with_another_character_is_none(data: st.DataObject) -> None:
    written = cursor.write(ASKED, VALUES)
    place = data.draw(st.integers(0, len(written) - 1))
    other = data.draw(st.characters().filter(lambda c: c != written[place]))
    with pytest.raises(ValueError, match="not a cursor"):
        cursor.read(ASKED, written[:place] + other + written[place + 1 :])


@given(st.text(st.characters(exclude_categories=())))
def test_any_other_text_is_no_cursor(text: str) -> None:
    with pytest.raises(ValueError, match="not a cursor"):
        cursor.read(ASKED, text)


@given(st.binary(max_size=60))
def test_any_other_bytes_are_no_cursor(content: bytes) -> None:
    with pytest.raises(ValueError, match="not a cursor"):
        cursor.read(ASKED, base64.urlsafe_b64encode(content).decode().rstrip("="))
