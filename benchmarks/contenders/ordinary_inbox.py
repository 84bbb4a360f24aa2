"""The ordinary inbox: one transaction for each event, in which ON CONFLICT finds the duplicates.

What a team writes that knows the pattern and takes it as the books have it: insert the message's
key, and where it was new, create or change the delivery in the same transaction. Offsets are
committed after each poll, a failed record is tried ten times, as in the Redis design. It keeps what
this service keeps, the payload and the record's coordinates, in a table without partitions.
"""

import psycopg
import structlog

from benchmarks.contenders.polling import (
    CONTRACT,
    KAFKA_DEFAULT_POLL,
    ConsumerRecord,
    polls,
)
from delivery import settings
from delivery.domain.event import OrderCreated, decode
from delivery.domain.record import record_time
from delivery.postgres import database
from delivery.postgres.columns import DELIVERY

RETRIES = 9

_NAMES = ", ".join(DELIVERY)
_COLUMNS = ", ".join(f"{name} {kind}" for name, kind in DELIVERY.items())
_VALUES = ", ".join(["%s"] * len(DELIVERY))
_TAKEN_OVER = ", ".join(f"{name} = excluded.{name}" for name in DELIVERY if name != "order_id")

TABLES = f"""
CREATE TABLE inbox (
    order_id bigint NOT NULL, event_time timestamptz NOT NULL, payload json NOT NULL,
    record_topic text NOT NULL, record_partition integer NOT NULL, record_offset bigint NOT NULL,
    record_time timestamptz, consumed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (order_id, event_time)
);
CREATE TABLE inbox_deliveries (
    {_COLUMNS}, status text NOT NULL DEFAULT 'pending',
    created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (order_id)
)
"""

_INSERT = """
INSERT INTO inbox (order_id, event_time, payload, record_topic, record_partition, record_offset,
                   record_time)
VALUES (%s, %s, %s::json, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""

_UPSERT = f"""
INSERT INTO inbox_deliveries AS d ({_NAMES}) VALUES ({_VALUES})
ON CONFLICT (order_id) DO UPDATE SET {_TAKEN_OVER}, updated_at = now()
WHERE d.event_time < excluded.event_time AND d.status = 'pending'
"""  # noqa: S608 (names of our own)


def main() -> None:
    """Consumes until the end of the topic or until SIGTERM."""
    url = settings.load(settings.DatabaseSettings).database_url
    with database.connect(url, "ordinary inbox") as connection:
        for batch in polls(KAFKA_DEFAULT_POLL):
            for record in batch:
                handle(connection, record)


def handle(connection: database.Connection, record: ConsumerRecord) -> None:
    """Try, try again nine times, log and skip."""
    for _ in range(1 + RETRIES):
        try:
            consume(connection, record)
            return
        except psycopg.Error as error:
            failure = error
    structlog.get_logger().error("skipped", offset=record.offset, sqlstate=failure.sqlstate)


def consume(connection: database.Connection, record: ConsumerRecord) -> None:
    """The inbox's row and the delivery's in one transaction."""
    time = record_time(record.timestamp)
    event = decode(CONTRACT, record.value, time)
    assert isinstance(event, OrderCreated)  # noqa: S101  the benchmark's records are all good
    coordinates = record.topic, record.partition, record.offset
    key = event.order_id, event.event_time
    with connection.transaction():
        entry = (*key, event.payload.decode(), *coordinates, time)
        if connection.execute(_INSERT, entry, prepare=True).rowcount:
            connection.execute(_UPSERT, event.delivery_row, prepare=True)


if __name__ == "__main__":
    main()
