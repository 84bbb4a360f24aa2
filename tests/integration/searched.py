"""A log to search in: events with ids, customers, and letters with text."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from delivery.postgres.database import Connection

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
FIRST, SECOND = "7e0b1c0e-6f0b-4e0c-9a57-2f3cf1b1a0d4", "11111111-2222-3333-4444-555555555555"

EVENT = """
INSERT INTO processed_events (order_id, event_time, outcome, payload, record_topic,
                              record_partition, record_offset, consumed_at)
VALUES (%s, %s, %s, %s, 'orders', 0, %s, %s)
"""
DUPLICATE = """
INSERT INTO duplicate_events (order_id, event_time, payload_differs, payload, record_topic,
                              record_partition, record_offset, consumed_at)
VALUES (%s, %s, %s, %s, 'orders', 1, %s, %s)
"""
LETTER = """
INSERT INTO dead_letters (record_topic, record_partition, record_offset, record_key, record_value,
                          reason, error, record_headers, order_id, consumed_at)
VALUES ('orders', 2, %s, %s, %s, 'not_json', 'no JSON', %s, %s, %s)
"""
DELIVERIES = """
INSERT INTO deliveries (order_id, ordered_by, event_time)
SELECT order_id, order_id % 5000, event_time FROM processed_events
"""


def payload(event_id: str, **fields: Any) -> str:
    return json.dumps({"event": {"orderId": 1, **fields}, "eventId": event_id, "text": "\0"})


def fill(connection: Connection) -> None:
    """Order 1 with two events, the first also as duplicate and in a letter; order 2 with none."""
    later = NOW + timedelta(hours=1)
    connection.execute(EVENT, (1, NOW, "created", payload(FIRST), 1, NOW))
    connection.execute(EVENT, (1, later, "updated", payload(SECOND), 2, later))
    connection.execute(EVENT, (2, NOW, "created", '{"event": {"orderId": 2}}', 3, NOW))
    connection.execute(EVENT, (3, later, "created", payload("other-1"), 4, later))
    connection.execute(DUPLICATE, (1, NOW, False, None, 1, NOW))
    connection.execute(DUPLICATE, (3, later, True, payload("conflict-7"), 2, later))
    connection.execute(LETTER, (1, b"Kim", f'{{"eventId": "{FIRST}'.encode(), Jsonb([]), 1, NOW))
    connection.execute(LETTER, (2, None, "\xff문 앞".encode(), Jsonb([]), None, NOW))
    connection.execute(DELIVERIES.replace("order_id % 5000", "4700 + order_id").replace(
        "FROM processed_events", "FROM processed_events WHERE outcome = 'created'"))  # fmt: skip
