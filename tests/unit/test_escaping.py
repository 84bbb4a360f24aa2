"""Untrusted text does nothing on a page but stand there."""

import pytest

from delivery.web.pages.escaping import untrusted


def test_markup_is_text() -> None:
    assert untrusted("<b>\"'&") == "<bdi>&lt;b&gt;&#34;&#39;&amp;</bdi>"


@pytest.mark.parametrize(
    ("character", "code"),
    [
        ("\0", "U+0000"),
        ("\x1b", "U+001B"),
        ("\r", "U+000D"),
        ("\x85", "U+0085"),
        ("\u061c", "U+061C"),
        ("\u200b", "U+200B"),
        ("\u200e", "U+200E"),
        ("\u2028", "U+2028"),
        ("\u202e", "U+202E"),
        ("\u2066", "U+2066"),
        ("\ufeff", "U+FEFF"),
        ("\U000e0041", "U+E0041"),
        ("\ud800", "U+D800"),
    ],
)
def test_what_nobody_sees_is_shown(character: str, code: str) -> None:
    shown = untrusted(f"a{character}b")
    assert character not in shown
    assert f">{code}</span>b" in shown
    shown.encode()  # a lone surrogate could not be sent


@pytest.mark.parametrize("text", ["a\tb\nc", "문 앞에", "👩‍👩‍👧", "می‌خواهم", "עברית", "e\u0301"])
def test_what_scripts_and_emoji_need_stays(text: str) -> None:
    assert untrusted(text) == f"<bdi>{text}</bdi>"
