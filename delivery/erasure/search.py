"""Which orders are a customer's, and which dead letters are theirs or those of orders."""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from delivery.postgres.database import Connection, transaction

STREAMED_ROWS = 100  # as many are in memory at once: their payloads may be a megabyte each

# Digits are written in one way only, and so a payload without them is none of the customer's. What
# it says of whom is read here, as the contract does: keys may be escaped, and may be there twice.
_PAYLOADS = """
SELECT order_id, payload::text FROM processed_events
WHERE erasure_id IS NULL AND position(%(digits)s IN payload::text) > 0
UNION ALL
SELECT order_id, payload::text FROM duplicate_events
WHERE erasure_id IS NULL AND position(%(digits)s IN payload::text) > 0
"""

_DELIVERIES = "SELECT order_id FROM deliveries WHERE ordered_by = %s"

_LETTERS = """
SELECT dead_letter_id, record_value FROM dead_letters
WHERE erasure_id IS NULL AND (position('orderId'::bytea IN record_value) > 0
                              OR position('orderedBy'::bytea IN record_value) > 0)
"""

# A field in bytes that may be cut off, serialized twice, or have the number as text.
_NAMED = re.compile(rb'"(orderId|orderedBy)\\*"\s*:\s*\\*"?(-?\d+)')


class Found(NamedTuple):
    """Orders that are erased as a whole, and dead letters beside those of these orders."""

    orders: list[int]
    letters: list[int]


def of_customer(connection: Connection, ordered_by: int) -> Found:
    """The orders of which an event, a conflict or the delivery names the customer, and the dead
    letters whose bytes name the customer or one of these orders, whether they are JSON or not.

    Reads the log and the deliveries from their beginning to their end; memory does not grow with
    them. Raises UnavailableError.
    """
    digits = {"digits": str(ordered_by)}
    with transaction(connection):
        orders = {order_id for (order_id,) in connection.execute(_DELIVERIES, (ordered_by,))}
        for order_id, payload in _streamed(connection, _PAYLOADS, digits):
            if order_id not in orders and customer(payload) == ordered_by:
                orders.add(order_id)
        return Found(sorted(orders), _letters(connection, orders, ordered_by))


def of_orders(connection: Connection, orders: Collection[int]) -> Found:
    """These orders, and the dead letters whose bytes name one of them. Raises UnavailableError."""
    with transaction(connection):
        return Found(sorted(orders), _letters(connection, orders, None))


def customer(payload: str) -> int | None:
    """Who ordered, as a logged payload says."""
    match json.loads(payload):
        case {"event": {"orderedBy": int(ordered_by)}}:
            return ordered_by
        case _:
            return None


def _letters(connection: Connection, orders: Collection[int], customer: int | None) -> list[int]:
    wanted = {(b"orderId", b"%d" % order) for order in orders}
    if customer is not None:
        wanted.add((b"orderedBy", b"%d" % customer))
    rows = _streamed(connection, _LETTERS, {})
    return sorted(letter for letter, value in rows if wanted & {*_NAMED.findall(value)})


def _streamed(
    connection: Connection, query: str, values: Mapping[str, str]
) -> Iterator[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        yield from cursor.stream(query, values, binary=True, size=STREAMED_ROWS)
