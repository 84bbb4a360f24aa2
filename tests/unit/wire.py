"""Record values as the order service sends them, right or with single fields changed."""

import json
from enum import Enum
from typing import Any

ABSENT: Any = Enum("Field", "ABSENT").ABSENT  # given as a field's value: the field is left out

ORDER = {
    "orderId": 2,
    "productId": 3,
    "quantity": 4,
    "orderedBy": 5,
    "consumeCompanyId": 6,
    "supplyCompanyId": 7,
    "requestMessage": "문 앞에 놓아 주세요",
    "deliveryLimitedAt": [2026, 1, 4, 0, 1, 14, 254000000],
}

ENVELOPE = {
    "event": ORDER,
    "eventId": "7f1c1a52-3b43-4a43-8a57-0a1b6a7f6a53",
    "createdAt": [2026, 1, 1, 0, 1, 14, 254000000],
    "eventType": "com.example.order.OrderCreateEvent",
    "source": "orderService.createOrder",
}


def order(**changes: Any) -> bytes:
    """A right event but for `changes` in its order."""
    return envelope(event=_changed(ORDER, changes))


def envelope(**changes: Any) -> bytes:
    """A right event but for `changes` in its envelope."""
    return json.dumps(_changed(ENVELOPE, changes), ensure_ascii=False).encode()


def _changed(fields: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**fields, **changes}.items() if value is not ABSENT}
