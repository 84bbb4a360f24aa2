"""A payload as people read it: nothing in it changes but the spaces."""

import json

import pytest

from delivery.web.json_text import indented, tokens

LIMIT = 20_000


def shown(text: str, limit: int = LIMIT) -> tuple[str, bool]:
    return indented(tokens(text), limit)


def test_a_member_has_a_line_and_keys_keep_their_order() -> None:
    text = '{"b":1,"a":{"x":[],"y":{}},"c":["d",null]}'
    assert shown(text) == (
        '{\n  "b": 1,\n  "a": {\n    "x": [],\n    "y": {}\n  },\n'
        '  "c": [\n    "d",\n    null\n  ]\n}',
        False,
    )


@pytest.mark.parametrize(
    "text",
    [
        "12345678901234567890123",
        "1.000000000000000000000000000000001",
        "-0.0e+400",
        '"\\u0000\\ud800\\"\\\\"',
        '"{\\"a\\": [1,  2]}"',
        "true",
    ],
)
def test_a_value_stays_as_it_was_written(text: str) -> None:
    assert shown(text) == (text, False)


def test_a_key_that_stands_twice_stands_twice() -> None:
    assert shown('{"a":1,"a":2}')[0] == '{\n  "a": 1,\n  "a": 2\n}'


def test_a_time_of_jacksons_is_on_one_line() -> None:
    assert shown('{"t": [2026,1,4,0,1,14,254000000]}')[0] == (
        '{\n  "t": [2026, 1, 4, 0, 1, 14, 254000000]\n}'
    )


@pytest.mark.parametrize(
    "text", ["[" * 10_000 + "]" * 10_000, '{"a":' * 10_000 + "1" + "}" * 10_000]
)
def test_no_depth_is_too_deep_and_the_text_stays_short(text: str) -> None:
    result, is_cut = shown(text)
    assert is_cut
    assert len(result) == LIMIT


def test_a_long_text_is_cut_and_says_so() -> None:
    assert shown(json.dumps("x" * 1_000_000), 10) == ('"xxxxxxxxx', True)
    assert shown('"12345678"', 10) == ('"12345678"', False)


def test_the_beginning_of_a_text_is_shown_as_far_as_it_goes() -> None:
    assert shown('{"a": "b, {c')[0] == '{\n  "a": "b, {c'
    assert shown('{"a": "b\\')[0] == '{\n  "a": "b\\'
