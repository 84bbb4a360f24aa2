"""A log with a row of each outcome, made by the inbox itself, and texts to break a page with."""

import json
from datetime import datetime
from typing import Any

from records import at, batch, record

from delivery.domain.event import Contract
from delivery.inbox import transaction
from delivery.postgres.database import Connection

ORDER = 1001  # has one record of each outcome
HOSTILE = 1002  # has texts that try to run, to turn the direction of writing, to be too wide
LARGE = 1003
DEEP = 1004

# Each of them would set the page's title.
MARKUP = (
    "<script>document.title='ran'</script><img src=x onerror=\"document.title='ran'\">"
    "</bdi></pre></td></table>{{ 7 * 7 }}<a href=\"javascript:document.title='ran'\">x</a>&lt;\"'"
)
BIDI = "paid \u202e000,1\u202c won \u2066\u200b\u0007"
WIDE = "W" * 3000

PERSONAL = "Leave it with Mrs. Kim, door code 4711"

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
HEADERS = [
    ("traceparent", TRACE.encode()),
    ("__TypeId__", b"com.example.Envelope"),
    (MARKUP, f"{BIDI} {WIDE}".encode()),
    (PERSONAL, PERSONAL.encode()),
    ("none", None),
    ("bytes", b"\xff\x00"),
]


def event(order_id: int, time: datetime, **fields: Any) -> bytes:
    """An event as the order service writes it, its text not escaped."""
    envelope = {
        "event": {"orderId": order_id, "productId": 7, "quantity": 2, **fields},
        "eventId": "5f0c6f3e-43a9-4e1c-9f5b-0c6b6e0f3c55",
        "createdAt": time.isoformat(),
        "eventType": "com.example.OrderCreateEvent",
        "source": "orderService.createOrder",
    }
    return json.dumps(envelope, ensure_ascii=False).encode()


def fill(connection: Connection) -> None:
    """Processes the records, in order: the last ones come after somebody took the delivery."""
    first = event(ORDER, at(0), orderedBy=31, requestMessage=PERSONAL)
    _process(
        connection,
        first,  # created
        event(ORDER, at(5), quantity=3, orderedBy=31, requestMessage="Ring twice",
              deliveryLimitedAt=[2026, 11, 4, 9, 30]),  # updated
        event(ORDER, at(2), quantity=9),  # stale
        first,  # duplicate
        event(ORDER, at(0), quantity=99),  # conflict
        b'{"event": {"orderId": 1001}}',  # rejected, its order's id readable
        f"{MARKUP} {BIDI} is not JSON".encode(),
        b"\xff\xfe\x00\x01",
        None,
        event(HOSTILE, at(0), requestMessage=f"{MARKUP} {BIDI} {WIDE}"),
        event(HOSTILE, at(1), **{f"{MARKUP}{WIDE}": [BIDI, 12345678901234567890.5]}),
        event(LARGE, at(0), text="x " * 500_000),
        event(DEEP, at(0), nested=_nested(150)),
    )  # fmt: skip
    connection.execute("UPDATE deliveries SET status = 'dispatched' WHERE order_id = %s", (ORDER,))
    late = event(ORDER, at(9), quantity=1)
    last = record(100, late, key=PERSONAL.encode(), headers=HEADERS)
    transaction.process(connection, Contract(), [last])
    connection.execute("ANALYZE")


def _process(connection: Connection, *contents: bytes | None) -> None:
    transaction.process(connection, Contract(), batch(*contents))


def _nested(depth: int) -> Any:
    value: Any = "the innermost"
    for _ in range(depth):
        value = [value]
    return value
