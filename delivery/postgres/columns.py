"""The columns of a delivery that events fill: statements, rights and checks are made of this list.

`tables` has them once more, for SQLAlchemy, which a worker does not import; a test compares both.
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
