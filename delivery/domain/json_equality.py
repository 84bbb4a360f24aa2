"""Whether two payloads say the same as JSON: key order, spaces and escapes do not count. Pure."""

import json
from decimal import Decimal, InvalidOperation
from typing import Any


def same_json(left: bytes, right: bytes) -> bool:
    """Equality of values as JSON (RFC 8259): numbers by value, so 1 equals 1.0; true is not 1.

    Both texts must be valid JSON, nested at most some hundred levels deep, as decode ensures.
    """
    return left == right or _canonical(left) == _canonical(right)


def _canonical(text: bytes) -> Any:
    return _tagged(json.loads(text, parse_float=_number, parse_int=_number))


def _number(text: str) -> Decimal | tuple[str, str]:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond any number's: equal only to itself
        return ("number", text)


def _tagged(value: Any) -> Any:
    # Python calls True equal to 1, JSON does not: a boolean is wrapped so that it equals no number.
    match value:
        case bool():
            return ("boolean", value)
        case dict():
            return {key: _tagged(item) for key, item in value.items()}
        case list():
            return [_tagged(item) for item in value]
        case _:
            return value
