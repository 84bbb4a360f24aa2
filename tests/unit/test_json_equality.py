"""Whether a second record under the same key says the same, or is a conflict."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delivery.domain import json_equality


def same_json(left: str, right: str) -> bool:
    return json_equality.same_json(left.encode(), right.encode())


@pytest.mark.parametrize(
    ("left", "right"),
    [
        pytest.param('{"a":1,"b":2}', '{"b":2,"a":1}', id="key order"),
        pytest.param('{"a":[{"b":1,"c":2}]}', '{"a":[{"c":2,"b":1}]}', id="key order, nested"),
        pytest.param('{"a":1}', ' {\n\t"a" : 1 }\r\n', id="white space"),
        pytest.param('"문"', '"\\ubb38"', id="escaped Korean"),
        pytest.param('"\U0001f600"', '"\\uD83D\\ude00"', id="escaped surrogate pair"),
        pytest.param('"/"', '"\\/"', id="escaped slash"),
        pytest.param("1", "1.0", id="1 and 1.0"),
        pytest.param("100", "1e2", id="exponent"),
        pytest.param("0.10", "0.1", id="trailing zero"),
        pytest.param("0", "-0", id="minus zero"),
        pytest.param("1e400", "10e399", id="beyond a float"),
        pytest.param('{"a":1,"a":2}', '{"a":2}', id="a key twice: the last wins"),
        pytest.param("1e9999999999999999999", " 1e9999999999999999999", id="absurd exponent"),
    ],
)
def test_the_same_said_otherwise_is_the_same(left: str, right: str) -> None:
    assert same_json(left, right)
    assert same_json(right, left)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        pytest.param("1", "2", id="numbers"),
        pytest.param("true", "1", id="true and 1"),
        pytest.param("false", "0", id="false and 0"),
        pytest.param('{"a":[true]}', '{"a":[1]}', id="true and 1, nested"),
        pytest.param("null", "false", id="null and false"),
        pytest.param('{"a":null}', "{}", id="null and absent"),
        pytest.param('"1"', "1", id="text and number"),
        pytest.param("[1,2]", "[2,1]", id="order of an array"),
        pytest.param("[]", "{}", id="empty array and empty object"),
        pytest.param('""', "null", id="empty text and null"),
        pytest.param('["boolean",true]', "true", id="nothing can imitate a boolean"),
        pytest.param('"a"', '"A"', id="case"),
        pytest.param('"\\u00e9"', '"e\\u0301"', id="normal forms of Unicode"),
        pytest.param("9007199254740993", "9007199254740992", id="integers beyond a float's"),
        pytest.param("0.1", "0.1000000000000000000000000001", id="digits beyond a float's"),
        pytest.param("1e400", "1e401", id="beyond a float"),
        pytest.param('"\\u0000"', '""', id="NUL"),
        pytest.param(
            "1e9999999999999999999",
            '"1e9999999999999999999"',
            id="absurd exponent and the same as text",
        ),
    ],
)
def test_what_says_something_else_is_different(left: str, right: str) -> None:
    assert not same_json(left, right)
    assert not same_json(right, left)


def test_payloads_nested_as_deep_as_decode_lets_through_are_compared() -> None:
    deep = "[" * 200 + "{}" + "]" * 200
    assert same_json(deep, deep + " ")
    assert not same_json(deep, deep.replace("{}", "1"))


def values() -> st.SearchStrategy[Any]:
    # Few of each kind, so that two drawn values often are the same.
    scalars = st.none() | st.booleans() | st.integers(-1, 2) | st.sampled_from(["", "1", "문"])
    return st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
        ),
        max_leaves=4,
    )


@given(values())
@settings(max_examples=200, deadline=None)
def test_however_a_value_is_written_it_is_the_same(value: Any) -> None:
    left = json.dumps(value, sort_keys=True, separators=(",", ":"))
    right = json.dumps(_reversed(value), indent=1, ensure_ascii=False)
    assert same_json(left, right)


@given(values(), values())
@settings(max_examples=500, deadline=None)
def test_two_values_are_the_same_if_sorting_their_keys_makes_them_so(left: Any, right: Any) -> None:
    expected = json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)
    assert same_json(json.dumps(left), json.dumps(right)) is expected


def _reversed(value: Any) -> Any:
    """The value with the keys of its objects in the opposite order."""
    match value:
        case dict():
            return {key: _reversed(value[key]) for key in reversed(value)}
        case list():
            return [_reversed(item) for item in value]
        case _:
            return value
