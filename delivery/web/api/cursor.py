"""Where a list goes on: an opaque text that a client gives back as it came. Pure.

It holds the place of the last row, the filters' meaning at the first page, and a check sum over
both and over what was asked for. The sum is no signature, for there is nothing to protect: it tells
an accident, such as a cursor of another list, from a cursor.
"""

import base64
import binascii
import json
from hashlib import blake2b
from typing import Any

_SUM = 9  # bytes, so that no padding is needed after it

Values = list[Any]  # of JSON


def write(asked: str, values: Values) -> str:
    """A cursor for the list that `asked` names, with its filters."""
    body = json.dumps(values, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_sum(asked, body) + body).decode().rstrip("=")


def read(asked: str, cursor: str) -> Values:
    """The values that `write` was given. Raises ValueError for any other text."""
    try:
        whole = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(_FOREIGN) from None
    check, body = whole[:_SUM], whole[_SUM:]
    if check != _sum(asked, body) or write(asked, values := json.loads(body)) != cursor:
        raise ValueError(_FOREIGN)
    return list(values)


_FOREIGN = (
    "is not a cursor of this list: give back `next` as it came, with the same filters, "
    "or none for the first page"
)


def _sum(asked: str, body: bytes) -> bytes:
    return blake2b(asked.encode("utf-8", "surrogatepass") + b"\0" + body, digest_size=_SUM).digest()
