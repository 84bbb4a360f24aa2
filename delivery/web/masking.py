"""Replaces personal data before a row becomes a page or an answer. Pure.

What is not known to be technical counts as personal: free text, ids of users and companies, record
keys, the values of dead letters, and each field of a payload that the contract does not name.
"""

from collections.abc import Iterator

from delivery.domain.event import DELIVERY_COLUMNS
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

# The fields of a payload that stay: the keys on the way to each, quoted as they stand in the text.
_TECHNICAL = frozenset(
    {
        ('"eventId"',),
        ('"eventType"',),
        ('"createdAt"',),
        ('"source"',),
        *(('"event"', f'"{field}"') for field in _OF_ORDER.values()),
    }
)
_LONGEST = max(map(len, _TECHNICAL))

_JSON_MASK = f'"{MASK}"'


def mask(value: object) -> str:
    """The text instead of `value`. It gives away neither its kind nor its length."""
    del value
    return MASK


def masked_payload(text: str) -> str:
    """The JSON text with the same structure and keys, its personal values replaced by a string.

    `null` stays: it says that there is nothing. `text` must be JSON, as PostgreSQL's `json` takes
    it. Time and memory grow with its length, whatever its depth.
    """
    return "".join(_on_one_line(masked_tokens(text)))


def masked_tokens(text: str) -> Iterator[str]:
    """The tokens of `masked_payload`, each made when it is asked for."""
    containers: list[str] = []  # the marks that opened what we are in
    path: list[str] = []  # the key of each object on the way, "" before its first
    tokens = json_text.tokens(text)
    for part in tokens:
        if part in json_text.MARKS:
            _follow(part, containers, path)
            yield part
        elif containers and containers[-1] == "{" and path[-1] == "":
            path[-1] = part
            yield part
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
    if len(path) > _LONGEST or tuple(path) not in _TECHNICAL:
        return False
    depth = len(containers) - len(path)  # arrays around it
    return depth == 0 or (depth == 1 and containers[-1] == "[" and not part.startswith('"'))


def _on_one_line(parts: Iterator[str]) -> Iterator[str]:
    """A space after each colon and comma, as people and Python write JSON on one line."""
    for part in parts:
        yield f"{part} " if part in ":," else part
