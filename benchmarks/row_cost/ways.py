"""The ways to store a row of the log that are compared, and the rows."""

from collections.abc import Sequence
from typing import NamedTuple

# Fields of eight bytes first, so that nothing is filled up to the next multiple of eight.
BY_ALIGNMENT = (
    "order_id, event_time, record_offset, record_time, consumed_at, record_topic_id, "
    "record_partition, outcome, payload, record_topic, erasure_id, record_headers"
)

AS_THEY_ARE = (
    "order_id, event_time, outcome, payload, record_topic, record_partition, record_offset, "
    "record_time, consumed_at, record_topic_id, erasure_id, record_headers"
)

# What changes of a table that is called {table}, before the rows come.
WAYS = {
    "as it is": "",
    "payload in lz4": "ALTER TABLE {table} ALTER payload SET COMPRESSION lz4",
    "payload not compressed": "ALTER TABLE {table} ALTER payload SET STORAGE EXTERNAL",
    "toast_tuple_target 128, lz4, MAIN": "ALTER TABLE {table} SET (toast_tuple_target = 128); "
    "ALTER TABLE {table} ALTER payload SET COMPRESSION lz4, ALTER payload SET STORAGE MAIN",
    "fillfactor 100 of the primary key": "ALTER INDEX {table}_pkey SET (fillfactor = 100)",
    "fillfactor 90 of the table": "ALTER TABLE {table} SET (fillfactor = 90)",
    "BRIN on consumed_at": "DROP INDEX {table}_consumed_at_idx; "
    "CREATE INDEX {table}_consumed_at_idx ON {table} USING brin (consumed_at)",
    "no index but the primary key": "DROP INDEX {table}_consumed_at_idx, "
    "{table}_outcome_consumed_at_idx, {table}_record_topic_record_partition_record_offset_idx",
    "columns in the order of their alignment": "",
    "without the topic and its id": "ALTER TABLE {table} ALTER record_topic DROP NOT NULL, "
    "ALTER record_topic_id DROP NOT NULL, ALTER record_topic_id DROP DEFAULT",
    "a header, traceparent": "",
    "two headers, __TypeId__ and traceparent": "",
}

# As the worker writes them.
_TRACE = """format('{"key":"traceparent","value":"00-%s-%s-01"}',
               md5(order_id::text), left(md5(record_offset::text), 16))"""
_TYPE = """'{"key":"__TypeId__","value":"com.example.order.domain.event.OrderCreateEvent"}'"""

# What is in the row when it is not as the log has it.
INSTEAD = {
    "without the topic and its id": {"record_topic": "NULL", "record_topic_id": "NULL"},
    "a header, traceparent": {"record_headers": f"('[' || {_TRACE} || ']')::json"},
    "two headers, __TypeId__ and traceparent": {
        "record_headers": f"('[' || {_TYPE} || ',' || {_TRACE} || ']')::json"
    },
}

# About 2,600 bytes: an order with twenty lines, which PostgreSQL compresses by itself.
LARGE = """
(left(payload::text, -1) || ',"lines":[' || (
    SELECT string_agg(format('{"lineId":%s,"productId":%s,"quantity":%s,"name":"%s","price":%s}',
        order_id * 20 + n, (order_id * 7919 + n * 104729) % 99999, n % 9 + 1,
        left(md5((order_id * 31 + n)::text), 24), (order_id * 13 + n) % 100000), ',')
    FROM generate_series(1, 20) AS n) || ']}')::json
"""


class Case(NamedTuple):
    """Which rows, and which ways make a difference for them."""

    ids: str
    payload: str
    ways: Sequence[str]


CASES = (
    Case("sequential", "payload", tuple(WAYS)),
    Case("random", "payload", ("as it is", "fillfactor 100 of the primary key")),
    Case("sequential", LARGE, ("as it is", "payload in lz4", "payload not compressed")),
)
