"""The columns of a delivery that events fill, and those of a dead letter that a worker writes.

Statements, rights and checks are made of these lists. `tables` has them once more, for SQLAlchemy,
which a worker does not import; a test compares those of a delivery.
"""

# By name PostgreSQL's type; the order is that of `OrderCreated.delivery_row`.
DELIVERY = {
    "order_id": "int8",
    "product_id": "int8",
    "quantity": "int4",
    "ordered_by": "int8",
    "supply_company_id": "int8",
    "consume_company_id": "int8",
    "request_message": "text",
    "delivery_limited_at": "timestamptz",
    "event_time": "timestamptz",
}

# Those of them that say something of a person: an erasure takes them away.
PERSONAL = ("ordered_by", "supply_company_id", "consume_company_id", "request_message")

# Of a dead letter those that stay as the record came, and those that a later decision changes.
LETTER = (
    "record_topic", "record_partition", "record_offset", "record_topic_id", "record_time",
    "record_key", "record_value", "record_headers", "order_id", "consumed_at",
)  # fmt: skip
DECIDED = ("reason", "error")
RESOLVED = ("resolved_at", "resolution", "resolution_note", "resolved_by")
