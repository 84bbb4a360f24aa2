"""Replaces personal data before a row becomes a page or an answer. Pure.

What is not known to be technical counts as personal: free text, ids of users and companies, record
keys, the values of dead letters, names of headers, and each field of a payload that the contract
does not name, with its name: a map may have people as its keys.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from delivery.domain.event import DELIVERY_COLUMNS
from delivery.domain.schema import FIELDS
from delivery.web import json_text

MASK = "[masked]"

# The columns of a delivery that stay, each with the field of the order that fills it. A company may
# be one person, so that its id leads to somebody.
_OF_ORDER = {
    "order_id": "orderId",
    "product_id": "productId",
    "quantity": "quantity",
    "delivery_limited_at": "deliveryLimitedAt",
}

PERSONAL_COLUMNS = frozenset(DELIVERY_COLUMNS) - _OF_ORDER.keys() - {"event_time"}

# Headers of records that frameworks write: Spring, tracing, CloudEvents.
_TECHNICAL_HEADER = re.compile(
    r"__\w+__|spring_json_header_types|content-type|traceparent|tracestate|b3|x-b3-\w+|kafka_[\w-]+"
    r"|ce_(?:id|type|time|source|specversion|dataschema|datacontenttype)",
    re.ASCII | re.IGNORECASE,
)

# A trace's id and a span's, which are random numbers, as W3C's trace context writes them.
_TRACE = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)

# What an id, a class and a method look like, quoted as they stand in the text. Other text in their
# fields may be anything.
_ID = re.compile(
    r'"(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'  # UUID
    r'|(?=\d*[a-f])[0-9a-f]{8,64}|[0-9A-HJKMNP-TV-Z]{26}|\d{18,20})"',  # a hash, ULID, snowflake
    re.ASCII | re.IGNORECASE,
)
_CLASS = re.compile(r'"(?:[\w$]+\.)*[A-Z][\w$]*(?:Event|Created|Command|Message)"', re.ASCII)
_METHOD = re.compile(r'"(?=[\w$.]*[a-z][A-Z])(?:[A-Za-z_$][\w$]*\.)+[A-Za-z_$][\w$]*"', re.ASCII)
_ANYTHING = re.compile(r".*", re.DOTALL)

# The fields of a payload that stay: the keys on the way to each, quoted as they stand in the text,
# and what a text in it looks like.
_TECHNICAL: dict[tuple[str, ...], re.Pattern[str]] = {
    ('"eventId"',): _ID,
    ('"eventType"',): _CLASS,
    ('"source"',): _METHOD,
    ('"createdAt"',): _ANYTHING,
    **{('"event"', f'"{field}"'): _ANYTHING for field in _OF_ORDER.values()},
}
_LONGEST = max(map(len, _TECHNICAL))

_KNOWN_KEYS = {key for path in _TECHNICAL for key in path} | {f'"{name}"' for name in FIELDS}

_JSON_MASK = f'"{MASK}"'


def mask(value: object) -> str:
    """The text instead of `value`. It gives away neither its kind nor its length."""
    del value
    return MASK


def is_id(text: str) -> bool:
    """Whether it looks like an id that was made, and so leads to nobody by itself."""
    return _ID.fullmatch(f'"{text}"') is not None


def mask_header(name: str) -> str:
    """The name of a record's header, if it is one that frameworks write."""
    return name if _TECHNICAL_HEADER.fullmatch(name) else MASK


def mask_header_value(name: str, value: str | None) -> str | None:
    """The text instead of a header's value, but for what says which trace the record is of."""
    is_trace = name.lower() == "traceparent" and value is not None and _TRACE.fullmatch(value)
    return value if is_trace else _mask_text(value)


def masked_letter(members: dict[str, Any]) -> dict[str, Any]:
    """A dead letter's members, with a mask in the place of each content that there is."""
    return masked_record(members) | {"resolution_note": _mask_text(members["resolution_note"])}


def masked_record(members: dict[str, Any]) -> dict[str, Any]:
    """The same for the contents of its record alone: key, value and headers."""
    masked = {name: _mask_text(members[name]) for name in ("record_key", "record_value")}
    return members | masked | {"record_headers": masked_headers(members["record_headers"])}


def masked_headers(headers: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Headers with a mask for the names that frameworks do not write, and for all values but a
    `traceparent`'s.
    """
    return [
        {"key": mask_header(key), "value": mask_header_value(key, value)}
        for key, value in ((header["key"], header["value"]) for header in headers)
    ]


def masked_payload(text: str) -> str:
    """The JSON text with the same structure, its personal values and its unknown keys replaced.

    A key that stands in several places is replaced by the same text, another one by another.
    `null` stays: it says that there is nothing. `text` must be JSON, as PostgreSQL's `json` takes
    it. Time and memory grow with its length, whatever its depth.
    """
    return "".join(_on_one_line(masked_tokens(text)))


def masked_tokens(text: str) -> Iterator[str]:
    """The tokens of `masked_payload`, each made when it is asked for."""
    containers: list[str] = []  # the marks that opened what we are in
    path: list[str] = []  # the key of each object on the way, "" before its first
    masks: dict[str, str] = {}  # of unknown keys
    for part in json_text.tokens(text):
        if part in json_text.MARKS:
            _follow(part, containers, path)
            yield part
        elif containers and containers[-1] == "{" and path[-1] == "":
            path[-1] = part
            yield part if part in _KNOWN_KEYS else masks.setdefault(part, _key_mask(len(masks)))
        else:
            stays = part == "null" or _is_technical(part, containers, path)
            yield part if stays else _JSON_MASK


def _follow(mark: str, containers: list[str], path: list[str]) -> None:
    """Follows the mark: what the next part is in, and under which keys."""
    if mark in "{[":
        containers.append(mark)
        if mark == "{":
            path.append("")
    elif mark in "}]":
        if containers.pop() == "{":
            path.pop()
    elif mark == "," and containers[-1] == "{":
        path[-1] = ""


def _is_technical(part: str, containers: list[str], path: list[str]) -> bool:
    """A known field's own value, or a number in its array: Jackson writes times so."""
    if len(path) > _LONGEST or (form := _TECHNICAL.get(tuple(path))) is None:
        return False
    depth = len(containers) - len(path)  # arrays around it
    if part.startswith('"'):
        return depth == 0 and form.fullmatch(part) is not None
    return depth == 0 or (depth == 1 and containers[-1] == "[")


def _mask_text(value: str | None) -> str | None:
    return None if value is None else mask(value)


def _key_mask(number: int) -> str:
    return f'"[masked {number + 1}]"'


def _on_one_line(parts: Iterator[str]) -> Iterator[str]:
    """A space after each colon and comma, as people and Python write JSON on one line."""
    for part in parts:
        yield f"{part} " if part in ":," else part
