"""Where a list goes on: an opaque text that a client gives back as it came. Pure.

It holds the position of the last row, what the filters meant at the first page, and a check sum
over these and over the request. The sum is no signature, for there is nothing to protect: it
catches accidents, such as a cursor of another list.
"""

import base64
import binascii
import json
from hashlib import blake2b
from typing import Any

_SUM_BYTES = 9  # a multiple of 3: base64 needs no padding behind it

Values = list[Any]  # of JSON


def write(request: str, values: Values) -> str:
    """A cursor for the list that `request` names, with its filters."""
    body = json.dumps(values, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_sum(request, body) + body).decode().rstrip("=")


def read(request: str, cursor: str) -> Values:
    """The values that `write` was given. Raises ValueError for any other text."""
    try:
        whole = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(_FOREIGN) from None
    check, body = whole[:_SUM_BYTES], whole[_SUM_BYTES:]
    if check != _sum(request, body) or write(request, values := json.loads(body)) != cursor:
        raise ValueError(_FOREIGN)
    return list(values)


_FOREIGN = (
    "is not a cursor of this list: give back `next` as it came, with the same filters, "
    "or none for the first page"
)


def _sum(request: str, body: bytes) -> bytes:
    asked = request.encode("utf-8", "surrogatepass")
    return blake2b(asked + b"\0" + body, digest_size=_SUM_BYTES).digest()
