"""A dead letter whose order's id could not be read is found by the number in its bytes."""

import json
from urllib.request import urlopen

import pytest
from psycopg.types.json import Jsonb
from pydantic import SecretStr
from served import served

from delivery import history
from delivery.dead_letters import queries
from delivery.dead_letters.letter import LetterFilter
from delivery.history import EventFilter, sql
from delivery.postgres import database
from delivery.postgres.database import Connection

LETTER = """
INSERT INTO dead_letters (record_topic, record_partition, record_offset, record_value, reason,
                          error, record_headers, order_id)
VALUES ('orders', 0, (SELECT count(*) FROM dead_letters), %s, 'not_json', 'no JSON', %s, %s)
RETURNING dead_letter_id
"""
MANY = """
INSERT INTO dead_letters (record_topic, record_partition, record_offset, record_value, reason,
                          error, record_headers)
SELECT 'orders', 1, n, convert_to(format('{"event": {"orderId": %s, "pr', n), 'UTF8'), 'not_json',
       'no JSON', '[]'
FROM generate_series(1, 20000) AS n
"""


def add(connection: Connection, value: bytes | None, order_id: int | None = None) -> int:
    row = connection.execute(LETTER, (value, Jsonb([]), order_id)).fetchone()
    assert row
    letter_id: int = row[0]
    return letter_id


@pytest.mark.parametrize(
    "value",
    [
        b'{"event": {"orderId": 42, "productId": 7',  # cut off
        b'"{\\"event\\": {\\"orderId\\": 42}}"',  # serialized twice
        b"OrderCreateEvent(orderId=42, productId=7)",  # Java's toString
        b"{'event': {'orderId': 42}}",  # Python's
        b"<orderId>42</orderId>",
        b'\xff\x00\\{"orderId" : "0042"}\x80',
        b" " * 3980 + b'"orderId":42',
    ],
)
def test_a_broken_letter_is_found_by_the_order_that_it_names(
    connection: Connection, value: bytes
) -> None:
    letter = add(connection, value)
    rejected = EventFilter(order_id=42)
    columns = ("dead_letter_id", "order_id")
    assert list(history.events(connection, rejected, 9, columns)) == [(letter, None)]
    assert queries.open_ids(connection, LetterFilter(order_id=42)) == [letter]
    assert queries.open_ids(connection, LetterFilter(order_id=4)) == []


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        bytes(range(256)) * 40,
        b'{"orderId": -42}',
        b'{"orderId": 42.5}',
        b'{"orderId": 4242}',
        b'{"orderId": 42424242424242424242}',
        b'{"orderId": {"id": 42}}',
        b'{"productId": 42}',
        b" " * 4000 + b'"orderId":42',  # behind what is looked at
    ],
)
def test_what_names_no_such_order_is_kept_and_not_found(
    connection: Connection, value: bytes | None
) -> None:
    add(connection, value)
    assert queries.open_ids(connection, LetterFilter(order_id=42)) == []


def test_an_order_that_was_read_counts_and_not_what_the_bytes_say(connection: Connection) -> None:
    letter = add(connection, b'{"orderId": 42, "event": {"orderId": 7}}', 7)
    assert queries.open_ids(connection, LetterFilter(order_id=42)) == []
    assert queries.open_ids(connection, LetterFilter(order_id=7)) == [letter]


def test_it_is_found_by_index(connection: Connection, database_url: str) -> None:
    connection.execute(MANY)
    connection.execute("VACUUM ANALYZE dead_letters")
    wanted = LetterFilter(order_id=4242)
    with database.snapshot(SecretStr(database_url), "test") as reading:
        query, values = sql.newest_first(EventFilter(order_id=4242), 100, None, ["order_id"])
        plans = [
            "\n".join(row[0] for row in reading.execute(b"EXPLAIN " + query, values)),
            "\n".join(
                row[0] for row in reading.execute(f"EXPLAIN {queries._OPEN_IDS}", vars(wanted))
            ),
        ]
        assert queries.open_ids(reading, wanted) == [4242]
    assert ["ix_dead_letters_named_order" in plan for plan in plans] == [True, True]
    assert "Seq Scan on dead_letters" not in "".join(plans)


def test_its_order_has_a_page_and_a_history(connection: Connection, database_url: str) -> None:
    add(connection, b'{"event": {"orderId": 42, "requestMessage": "Kim')
    with served(database_url) as address:
        with urlopen(f"{address}/orders/42", timeout=30) as answer:
            page = answer.read().decode()
        with urlopen(f"{address}/api/v1/orders/42", timeout=30) as answer:
            (event,) = json.load(answer)["history"]
    assert "/dead-letters/1" in page
    assert "Kim" not in page
    assert (event["outcome"], event["order_id"], event["dead_letter_id"]) == ("rejected", None, 1)
