"""What msgspec reads, the contract reads too, and reads the same."""

import json
from itertools import product
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies import broken_events, events
from wire import ENVELOPE, ORDER, envelope, order

from delivery.domain import fast_path, schema
from delivery.domain.event import Contract, OrderCreated, Rejection, decode

CONTRACT = Contract()


def check(value: bytes) -> bool:
    """Asserts that the contract reads what msgspec reads. Returns whether it does."""
    fast = fast_path.read(value)
    if fast is None:
        return False
    fields = schema.read(value)
    assert not isinstance(fields, Rejection), (fields, value)
    assert fast_path.envelope_of(fields) == fast, value
    return True


def with_text(text: bytes, field: str) -> bytes:
    """An event with `text` as it is, JSON or not, as the value of `field`."""
    mark = "the field's text"
    value = order(**{field: mark}) if field in ORDER else envelope(**{field: mark})
    return value.replace(json.dumps(mark).encode(), text)


FIELDS = [*ORDER, *ENVELOPE, "giftWrap"]

TIMES = ["2026-01-01T00:01:14.254Z", "2026-01-01T00:01", [2026, 1, 1, 0, 1], [2026, 1, 1, 0, 1, 14]]


@pytest.mark.parametrize("time", TIMES, ids=str)
def test_what_the_order_service_sends_is_read_by_msgspec(time: Any) -> None:
    assert check(envelope(createdAt=time))
    assert check(order(deliveryLimitedAt=time))


def test_the_least_event_is_read_by_msgspec() -> None:
    assert check(b'{"event":{"orderId":1},"createdAt":[2026,1,1,0,0]}')


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b'"\xff"', id="not UTF-8"),
        pytest.param(b'"\xed\xa0\x80"', id="raw surrogate"),
        pytest.param(b'"\xc0\x80"', id="overlong NUL"),
        pytest.param(b'"\\ud800"', id="lone surrogate"),
        pytest.param(b'"\\ud800......"', id="lone high surrogate and more"),
        pytest.param(b'"\\udc00......"', id="lone low surrogate and more"),
        pytest.param(b'"\\ud800\\n....."', id="surrogate and another escape"),
        pytest.param(b'"\\ud800\\ud800"', id="two high surrogates"),
        pytest.param(b'"\\uDC00\\uD800"', id="surrogates the wrong way round"),
        pytest.param(b'"\\x41"', id="unknown escape"),
        pytest.param(b'"\\u12"', id="short escape"),
        pytest.param(b'"\n"', id="raw line feed"),
        pytest.param(b'"\x00"', id="raw NUL"),
        pytest.param(b"1" * 4301, id="an integer of 4301 digits"),
        pytest.param(b"-" + b"1" * 4301, id="a negative integer of 4301 digits"),
        pytest.param(b"[" * 250 + b"]" * 250, id="250 levels of arrays"),
        pytest.param(b'{"":' * 250 + b"1" + b"}" * 250, id="250 levels of objects"),
        pytest.param(b"[" * 5000 + b"]" * 5000, id="5,001 levels"),
        *(
            pytest.param(text, id=text.decode())
            for text in (b"NaN", b"-NaN", b"Infinity", b"-Infinity", b"01", b"-", b"+1", b"1.",
                         b".5", b"1e", b"1e+", b"0x1", b"tru", b"[1,]", b"[,1]", b'{"a":1,}',
                         b'{"a" 1}', b"{a:1}", b"'a'", b"/**/1", b"")
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("field", FIELDS)
def test_what_the_contract_refuses_in_any_field_msgspec_does_not_read(
    text: bytes, field: str
) -> None:
    value = with_text(text, field)
    assert isinstance(schema.read(value), Rejection)
    assert fast_path.read(value) is None


@pytest.mark.parametrize(
    "text",
    [
        b"1.0", b"1e0", b"2.5", b"true", b"false", b"{}", b"[]", b"0", b"-1", b"2147483648",
        b"-2147483649", b"9223372036854775808", b"-9223372036854775809", b"[2026,1,1,0]",
        b"[2026,1,1,0,1,2,3,4]", b"[2026,1,1,0,0.0]",
        b"[2026,1,1,0,1e0]", b"[2026,1,1,0,true]", b'[2026,1,1,0,"0"]', b'"\\u0000"',
    ],
)  # fmt: skip
@pytest.mark.parametrize("field", [*ORDER, "createdAt", "event"])
def test_what_is_of_the_wrong_kind_is_left_to_the_contract(text: bytes, field: str) -> None:
    check(with_text(text, field))


@pytest.mark.parametrize("wrapped", [b"\xef\xbb\xbf%b", b"%b\0", b"%b%b", b"%b,", b"[%b]", b"%b\f"])
def test_what_stands_around_an_event_msgspec_does_not_read(wrapped: bytes) -> None:
    assert fast_path.read(wrapped.replace(b"%b", envelope())) is None


@pytest.mark.parametrize("levels", [150, 198, 199, 200, 201])
@pytest.mark.parametrize("begin", [b"[", b'{"":', b'[{"a":1},'])
def test_no_level_more_is_read_than_the_contract_reads(levels: int, begin: bytes) -> None:
    levels_of_one = begin.count(b"[") + begin.startswith(b"{")
    end = b"}" if begin.startswith(b"{") else b"]"
    depth = levels // levels_of_one
    check(b'{"event":{"orderId":1},"createdAt":[1,1,1,1,1],"":' + begin * depth + b"1" + end * depth
          + b"}")  # fmt: skip


# As the value of a field, each sequence of so many tokens: what a parser may take for JSON or not.
TOKENS = (b"0", b"1", b"-", b".", b"e", b"+", b'"', b"\\", b"u", b"n", b"[", b"]", b"{", b"}", b":",
          b",", b" ", b"\x0b", b"true", b"null", b"NaN", b'"a"', b"\\ud83d", b"\\ude00", b"\x80",
          "문".encode())  # fmt: skip
MOST_TOKENS = 3


@pytest.mark.parametrize("length", range(MOST_TOKENS + 1))
def test_of_all_short_sequences_of_tokens_none_is_read_that_the_contract_refuses(
    length: int,
) -> None:
    for begin, end in [(b"", b""), (b'"', b'"'), (b"[", b"]")]:
        for tokens in product(TOKENS, repeat=length):
            text = begin + b"".join(tokens) + end
            check(b'{"event":{"orderId":1,"a":%b},"createdAt":[2026,1,1,0,0]}' % text)


TEXTS = st.one_of(
    st.sampled_from([b"1", b"null", b'"x"', b'"\\u0000"', b"[]", b"1e5", b"-0", b"1" * 4301]),
    st.lists(st.sampled_from(TOKENS), max_size=8).map(b"".join),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
        max_leaves=6,
    ).map(lambda value: json.dumps(value).encode()),
)

KEYS = st.sampled_from([*FIELDS, "event", "order\\u0049d", "orderid", "", "\\ud83d", "이름"])


@st.composite
def spliced_events(draw: st.DrawFn) -> bytes:
    """An event that has further members, some under a name that it has already."""
    value = draw(st.just(envelope()) | events().map(lambda sent: sent.value))
    for _ in range(draw(st.integers(1, 4))):
        member = b'"%b":%b' % (draw(KEYS).encode(), draw(TEXTS))
        places = [place for place, byte in enumerate(value) if byte in b"{,"]
        place = draw(st.sampled_from(places)) + 1
        value = value[:place] + member + b"," + value[place:]
    return value


@given(spliced_events() | broken_events())
@settings(max_examples=2000, deadline=None)
@example(envelope().replace(b'"quantity"', b'"quantity":"x","quantity"'))
@example(envelope().replace(b'"quantity"', b'"orderId":7,"quantity"'))
@example(envelope().replace(b'"event"', b'"event":{"orderId":7,"quantity":8},"event"', 1))
def test_what_msgspec_reads_the_contract_reads_the_same(value: bytes) -> None:
    check(value)


@given(spliced_events() | broken_events() | events().map(lambda sent: sent.value) | st.binary())
@settings(max_examples=1000, deadline=None)
def test_decode_answers_the_same_with_and_without_msgspec(value: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast_path, "read", lambda _: None)
        without: OrderCreated | Rejection = decode(CONTRACT, value, None)
    assert decode(CONTRACT, value, None) == without


def test_both_readers_know_the_same_fields() -> None:
    fields = schema.Envelope.__annotations__
    assert set(fast_path.Envelope.__struct_encode_fields__) == set(fields)
    assert set(fast_path.Order.__struct_encode_fields__) == set(fields["event"].__annotations__)
