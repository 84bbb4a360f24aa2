"""Quix Streams with its PostgreSQL sink: what a Python team would pick that wants rows soon.

librdkafka's consumer, `execute_values` with `ON CONFLICT DO NOTHING`, offsets committed after the
rows, all as it comes by default. It writes the log's rows only, and decides nothing.
docs/benchmarks.md says what it does with an older event, a conflict and a broken record.

It runs in an environment of its own, that `scripts/bench` makes: it needs an older pydantic. So
nothing of this project is imported here.
"""

import json
import os
import sys
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

TABLES = """
CREATE TABLE quix_events (
    order_id bigint NOT NULL, event_time timestamptz NOT NULL, payload json NOT NULL,
    record_topic text NOT NULL, record_partition integer NOT NULL, record_offset bigint NOT NULL,
    record_time timestamptz, consumed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (order_id, event_time)
)
"""


def main() -> None:
    """Consumes to the end of the topic."""
    from quixstreams import Application
    from quixstreams.sinks.community.postgresql import PostgreSQLSink

    database = urlsplit(os.environ["DELIVERY_DATABASE_URL"])
    name = os.environ["DELIVERY_KAFKA_TOPIC"]
    sink = PostgreSQLSink(
        host=database.hostname,
        port=database.port,
        dbname=database.path.lstrip("/"),
        user=database.username,
        password=database.password or "",
        table_name="quix_events",
        schema_auto_update=False,
        include_metadata=False,
        on_conflict_do_nothing=True,
    )
    application = Application(
        broker_address=os.environ["DELIVERY_KAFKA_BOOTSTRAP_SERVERS"],
        consumer_group=os.environ["DELIVERY_KAFKA_GROUP_ID"],
        auto_offset_reset="earliest",
        loglevel="WARNING",
    )
    topic = application.topic(name, value_deserializer="bytes")
    application.dataframe(topic).apply(row, metadata=True).sink(sink)
    count = number_of_records(application, name)
    say("consuming")
    application.run(count=count)
    say("stopped", records=count)


def row(value: bytes, _key: object, timestamp: int, _headers: object) -> dict[str, Any]:
    """A row of the log; the payload as it was sent, for to write it anew takes twice the time."""
    import orjson
    from quixstreams import message_context

    event, record = orjson.loads(value), message_context()
    return {
        "order_id": event["event"]["orderId"],
        "event_time": time_of(event["createdAt"]),
        "payload": value.decode(),
        "record_topic": record.topic,
        "record_partition": record.partition,
        "record_offset": record.offset,
        "record_time": datetime.fromtimestamp(timestamp / 1000, UTC),
    }


def time_of(array: list[int]) -> datetime:
    """Jackson's array of a LocalDateTime."""
    year, month, day, hour, minute, second, nanosecond = [*array, 0, 0][:7]
    return datetime(year, month, day, hour, minute, second, nanosecond // 1000, UTC)


def number_of_records(application: Any, topic: str) -> int:
    """How many there are in the topic now."""
    from confluent_kafka import TopicPartition

    with application.get_consumer(auto_commit_enable=False) as consumer:
        partitions = consumer.list_topics(topic).topics[topic].partitions
        ends = [consumer.get_watermark_offsets(TopicPartition(topic, p)) for p in partitions]
        return sum(high - low for low, high in ends)


def say(event: str, **values: Any) -> None:
    """A line as the other contenders log it."""
    line = {"event": event, "timestamp": datetime.now(UTC).isoformat(), **values}
    sys.stderr.write(json.dumps(line) + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
