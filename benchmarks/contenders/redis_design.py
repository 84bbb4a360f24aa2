"""The Redis design, as its author wrote it: a check in Redis, then a delivery in the database.

Its author's, from `OrderEventSubscriber`:
- the key `event:order:` + orderId holds the `createdAt` of the last event, as ISO 8601 text;
- GET; where there is a value and `createdAt` is not after it, the event is ignored as a past one;
- SET with a time to live of one day, and only then the delivery is created, in a transaction of its
  own; a delivery has a generated id, so that nothing stops a second one for an order;
- what `createDelivery` raises goes up to the listener's container.

Spring Kafka's, by default (the author set none of it):
- one event at a time, offsets committed after each poll (AckMode.BATCH, 500 records at most);
- DefaultErrorHandler with FixedBackOff(0, 9): a failed record is tried ten times in all, at once,
  then it is logged and skipped. The container seeks and polls again; here it is a loop, which is
  the same to the record and a little faster.

The benchmark's: the event is decoded by this service's own `decode`, so that it costs the same;
the delivery's row keeps the record's timestamp, from which latency is taken.
"""

import os
from datetime import datetime, timedelta
from operator import attrgetter

import psycopg
import structlog
from redis import Redis

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

KEY_PREFIX = "event:order:"
ONE_DAY = timedelta(days=1)
RETRIES = 9

_OF_ORDER = {name: kind for name, kind in DELIVERY.items() if name != "event_time"}
_NAMES = ", ".join(_OF_ORDER)
_COLUMNS = ", ".join(f"{name} {kind}" for name, kind in _OF_ORDER.items())
_VALUES = ", ".join(["%s"] * len(_OF_ORDER))
_row = attrgetter(*_OF_ORDER)

TABLES = f"""
CREATE TABLE redis_deliveries (
    delivery_id bigserial PRIMARY KEY, {_COLUMNS},
    status text NOT NULL DEFAULT 'pending', created_at timestamptz NOT NULL DEFAULT now(),
    record_topic text NOT NULL, record_offset bigint NOT NULL, record_time timestamptz NOT NULL
)
"""

_INSERT = f"""
INSERT INTO redis_deliveries ({_NAMES}, record_topic, record_offset, record_time)
VALUES ({_VALUES}, %s, %s, %s)
"""  # noqa: S608 (names of our own)


def main() -> None:
    """Consumes until the end of the topic or until SIGTERM."""
    redis = Redis(port=int(os.environ["BENCH_REDIS_PORT"]), decode_responses=True)
    url = settings.load(settings.DatabaseSettings).database_url
    with database.connect(url, "redis design") as connection:
        for batch in polls(KAFKA_DEFAULT_POLL):
            for record in batch:
                handle(redis, connection, record)


def handle(redis: Redis, connection: database.Connection, record: ConsumerRecord) -> None:
    """Spring's DefaultErrorHandler: try, try again nine times, log and skip."""
    for _ in range(1 + RETRIES):
        try:
            consume(redis, connection, record)
            return
        except psycopg.Error as error:
            failure = error
    structlog.get_logger().error("skipped", offset=record.offset, sqlstate=failure.sqlstate)


def consume(redis: Redis, connection: database.Connection, record: ConsumerRecord) -> None:
    """The listener's method."""
    event = decode(CONTRACT, record.value, record_time(record.timestamp))
    assert isinstance(event, OrderCreated)  # noqa: S101  the benchmark's records are all good
    key = f"{KEY_PREFIX}{event.order_id}"
    existing = redis.get(key)
    if existing is not None and event.event_time <= datetime.fromisoformat(str(existing)):
        return  # a past event
    redis.set(key, event.event_time.isoformat(), ex=ONE_DAY)
    create_delivery(connection, event, record)


def create_delivery(
    connection: database.Connection, event: OrderCreated, record: ConsumerRecord
) -> None:
    """A transaction of its own."""
    with connection.transaction():
        coordinates = record.topic, record.offset, record_time(record.timestamp)
        connection.execute(_INSERT, (*_row(event), *coordinates), prepare=True)


if __name__ == "__main__":
    main()
