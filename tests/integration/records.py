"""Records as the consumer would hand them on, built by hand: no Kafka is needed."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from delivery.domain.record import Header, Record

TOPIC = "orders"
RECEIVED = datetime(2026, 11, 1, 12, tzinfo=UTC)  # every record's own timestamp
ONE_AM = datetime(2026, 11, 1, 1, tzinfo=UTC)


def at(minute: int) -> datetime:
    """An event time: so many minutes after one in the morning."""
    return ONE_AM + timedelta(minutes=minute)


def value(order_id: int, minute: int = 0, **fields: Any) -> bytes:
    """An event of the order with that event time; `fields` are the order's other fields."""
    order = {"orderId": order_id, **fields}
    return json.dumps({"event": order, "createdAt": at(minute).isoformat()}).encode()


def record(
    offset: int,
    content: bytes | None,
    partition: int = 0,
    key: bytes | None = None,
    headers: Sequence[Header] = (),
) -> Record:
    """A record at that place with that value."""
    return Record(TOPIC, partition, offset, RECEIVED, key, content, headers)


def batch(*contents: bytes | None, first: int = 0, partition: int = 0) -> list[Record]:
    """Records one behind the other from offset `first` on."""
    return [record(first + n, content, partition) for n, content in enumerate(contents)]
