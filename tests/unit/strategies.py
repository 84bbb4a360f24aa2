"""Hypothesis strategies for record values: right events, almost right ones, and broken bytes."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, NamedTuple

from hypothesis import strategies as st
from wire import ABSENT


class Sent(NamedTuple):
    """A record's value, and whether each of its fields is right."""

    value: bytes
    right: bool


def _integers(bits: int) -> st.SearchStrategy[int]:
    ends = [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1]
    return st.integers(*ends) | st.sampled_from([*ends, 0, 1])


_CHARACTERS = st.characters(codec="utf-8", exclude_characters="\0")
_TEXTS = st.text(_CHARACTERS, max_size=8) | st.sampled_from(["문 앞", "😀", '"\\/', "\u2028"])

_LITTER = st.one_of(
    st.none() | st.booleans() | st.integers() | _TEXTS,
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["\0", [], {}, [[{"a": [None, 10**40, 1e300]}]], {"orderId": 0}]),
)


@st.composite
def _times(draw: st.DrawFn) -> Any:
    """A time in one of its forms, at least a day from both ends of the calendar."""
    days, seconds = draw(st.integers(2, 3_652_058)), draw(st.integers(0, 86_399))
    time = datetime.fromordinal(days).replace(tzinfo=UTC) + timedelta(seconds=seconds)
    microsecond = draw(st.integers(0, 999_999))
    match draw(st.sampled_from(["array", "offset", "local"])):
        case "array":
            return [*time.timetuple()[:6], microsecond * 1000][: draw(st.integers(5, 7))]
        case "offset":
            zone = timezone(timedelta(minutes=draw(st.integers(-1439, 1439))))
            return time.replace(microsecond=microsecond).astimezone(zone).isoformat()
        case _:
            return time.isoformat()[: draw(st.sampled_from([16, 19]))]


_NO_INTEGERS = st.booleans() | st.floats(-9, 9) | st.sampled_from(["1", "", [], {}, [1], 10**40])

_NO_TIMES = st.one_of(
    st.booleans() | st.integers() | _TEXTS,
    st.lists(st.integers(-9, 9), max_size=9).map(lambda numbers: [0, *numbers]),
    st.lists(st.integers(min_value=10**9), min_size=5, max_size=7),
    st.lists(st.none() | st.booleans() | _TEXTS | st.floats(0, 12), min_size=1, max_size=7),
    st.sampled_from(["2026-13-01T00:00Z", "2026-01-01", "0001-01-01T00:00+09:00", {}]),
)

_NO_MESSAGES = st.integers() | st.booleans() | _TEXTS.map(lambda text: f"{text}\0")

_IDS = ("productId", "orderedBy", "supplyCompanyId", "consumeCompanyId")

_ORDERS = st.fixed_dictionaries(
    {"orderId": st.integers(1, 2**63 - 1)},
    optional={
        **dict.fromkeys(_IDS, st.none() | _integers(64)),
        "quantity": st.none() | _integers(32),
        "requestMessage": st.none() | _TEXTS,
        "deliveryLimitedAt": st.none() | _times(),
        "giftWrap": _LITTER,
    },
)

_WRONG: dict[str, st.SearchStrategy[Any]] = {
    "orderId": _NO_INTEGERS | st.integers(max_value=0) | st.sampled_from([None, ABSENT, 2**63]),
    **dict.fromkeys(_IDS, _NO_INTEGERS | st.sampled_from([2**63, -(2**63) - 1])),
    "quantity": _NO_INTEGERS | st.sampled_from([2**31, -(2**31) - 1]),
    "requestMessage": _NO_MESSAGES,
    "deliveryLimitedAt": _NO_TIMES,
    "createdAt": _NO_TIMES | st.sampled_from([None, ABSENT]),
    "event": st.sampled_from([None, ABSENT, [], "", 1]),
}


@st.composite
def events(draw: st.DrawFn) -> Sent:
    """An event with every field right, or with one or two that are wrong or missing."""
    wrong = draw(st.just(set()) | st.sets(st.sampled_from(sorted(_WRONG)), max_size=2))
    order, value = draw(_ORDERS), {"source": draw(_LITTER), "createdAt": draw(_times())}
    in_envelope = {"createdAt", "event"}
    _spoil(draw, order, wrong - in_envelope)
    value["event"] = order
    _spoil(draw, value, wrong & in_envelope)
    text = json.dumps(value, ensure_ascii=draw(st.booleans()), indent=draw(st.none() | st.just(1)))
    return Sent(text.encode(), not wrong)


def _spoil(draw: st.DrawFn, fields: dict[str, Any], names: set[str]) -> None:
    for name in sorted(names):
        fields[name] = draw(_WRONG[name])
        if fields[name] is ABSENT:
            del fields[name]


_TOKENS = [b"NaN", b"-Infinity", b"1e999", b"\\ud800", b"\xed\xa0\x80", b"\0", b'"', b",", b"]"]


@st.composite
def broken_events(draw: st.DrawFn) -> bytes:
    """The bytes of an event, some of them cut out and others put in."""
    value = draw(events()).value
    start = draw(st.integers(0, len(value)))
    end = start + draw(st.integers(0, 3))
    return value[:start] + draw(st.sampled_from(_TOKENS) | st.binary(max_size=3)) + value[end:]
