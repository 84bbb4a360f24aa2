"""Which orders and dead letters are a customer's."""

import json
import re
from collections.abc import Iterator
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
WHERE erasure_id IS NULL AND position(convert_to(%(digits)s, 'UTF8') IN record_value) > 0
"""


class Found(NamedTuple):
    """Orders that are erased as a whole, and dead letters beside those of these orders."""

    orders: list[int]
    letters: list[int]


def of_customer(connection: Connection, ordered_by: int) -> Found:
    """The orders of which an event, a conflict or the delivery names the customer, and the dead
    letters whose bytes do, whether they are JSON or not.

    Reads the log and the deliveries from their beginning to their end; memory does not grow with
    them. Raises UnavailableError.
    """
    digits = {"digits": str(ordered_by)}
    with transaction(connection):
        orders = {order_id for (order_id,) in connection.execute(_DELIVERIES, (ordered_by,))}
        for order_id, payload in _streamed(connection, _PAYLOADS, digits):
            if order_id not in orders and customer(payload) == ordered_by:
                orders.add(order_id)
        name = _named(ordered_by)
        letters = [
            letter_id
            for letter_id, value in _streamed(connection, _LETTERS, digits)
            if name.search(value)
        ]
    return Found(sorted(orders), sorted(letters))


def customer(payload: str) -> int | None:
    """Who ordered, as a logged payload says."""
    match json.loads(payload):
        case {"event": {"orderedBy": int(ordered_by)}}:
            return ordered_by
        case _:
            return None


def _named(ordered_by: int) -> re.Pattern[bytes]:
    """The field in bytes that may be cut off, serialized twice, or have the number as text."""
    number = str(ordered_by).encode()
    return re.compile(rb'"orderedBy\\*"\s*:\s*\\*"?' + number + rb"(?!\d)")


def _streamed(
    connection: Connection, query: str, values: dict[str, str]
) -> Iterator[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        yield from cursor.stream(query, values, binary=True, size=STREAMED_ROWS)
