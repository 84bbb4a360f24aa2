"""Where a list goes on: an opaque text that a client gives back as it came. Pure.

It holds the position of the last row and what the filters meant at the first page, signed together
with the request. The key is no secret, for there is nothing to protect: the signature catches
accidents, such as a cursor of another list.
"""

from functools import partial
from hashlib import blake2b
from typing import Any

from itsdangerous import BadData, URLSafeSerializer

Values = list[Any]  # of JSON

_KEY = "delivery"  # each process reads the cursors of the others

# 15 bytes, a multiple of 3: base64 has no bits left over, which could differ unnoticed.
_DIGEST = partial(blake2b, digest_size=15)

_FOREIGN = (
    "is not a cursor of this list: give back `next`, or `after`, as it came, with the same "
    "filters, or none for the first page"
)


def write(request: str, values: Values) -> str:
    """A cursor for the list that `request` names, with its filters."""
    return str(_serializer(request).dumps(values))


def read(request: str, cursor: str) -> Values:
    """The values that `write` was given. Raises ValueError for any other text."""
    try:
        return list(_serializer(request).loads(cursor))
    except (BadData, UnicodeEncodeError):
        raise ValueError(_FOREIGN) from None


def _serializer(request: str) -> URLSafeSerializer:
    salt = request.encode("utf-8", "surrogatepass")
    return URLSafeSerializer(_KEY, salt, signer_kwargs={"digest_method": _DIGEST})
