"""Values that are no events, by what is wrong with them, and the reason to be told."""

import json
from typing import Any

ORDER = {"orderId": 2, "quantity": 3, "requestMessage": "hello"}
CREATED_AT = [2026, 1, 1, 0, 1, 14, 254000000]


def _order(**changes: Any) -> bytes:
    return _envelope(event=ORDER | changes)


def _envelope(**changes: Any) -> bytes:
    return json.dumps({"event": ORDER, "createdAt": CREATED_AT} | changes).encode()


BROKEN: dict[str, tuple[bytes | None, str]] = {
    "a tombstone": (None, "tombstone"),
    "nothing": (b"", "not_json"),
    "text": (b"no JSON", "not_json"),
    "cut off": (_envelope()[:-1], "not_json"),
    "one behind the other": (_envelope() * 2, "not_json"),
    "no UTF-8": (_order(requestMessage="A").replace(b"A", b"\xff\xfe\x00"), "not_json"),
    "UTF-16": (_envelope().decode().encode("utf-16"), "not_json"),
    "not a number": (_order(price=1.5).replace(b"1.5", b"NaN"), "not_json"),
    "100,000 brackets": (b"[" * 100_000, "not_json"),
    "null": (b"null", "invalid_field"),
    "a list": (b"[]", "invalid_field"),
    "text for an order": (_envelope(event="order 2"), "invalid_field"),
    "text for an id": (_order(orderId="2"), "invalid_field"),
    "a fraction for an id": (_order(orderId=2.5), "invalid_field"),
    "true for an id": (_order(orderId=True), "invalid_field"),
    "zero for an id": (_order(orderId=0), "invalid_field"),
    "an id of 65 bits": (_order(orderId=2**63), "invalid_field"),
    "a quantity of 33 bits": (_order(quantity=2**31), "invalid_field"),
    "a NUL in a message": (_order(requestMessage="a\0b"), "invalid_field"),
    "no order": (json.dumps({"createdAt": CREATED_AT}).encode(), "missing_field"),
    "no id": (_envelope(event={}), "missing_field"),
    "no time": (json.dumps({"event": ORDER}).encode(), "missing_field"),
    "a number for a time": (_envelope(createdAt=1767225674254), "invalid_time"),
    "the 30th of February": (_envelope(createdAt=[2026, 2, 30, 0, 0]), "invalid_time"),
    "after the calendar's end": (_envelope(createdAt="9999-12-31T23:59-01:00"), "invalid_time"),
    "no limit": (_order(deliveryLimitedAt="tomorrow"), "invalid_time"),
    "the future": (_envelope(createdAt="2999-01-01T00:00:00Z"), "future_event_time"),
}
