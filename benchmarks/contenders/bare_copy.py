"""A limit: the topic's records by binary COPY into a table without an index, and nothing else.

The rows are made before the clock starts. Batches and columns are the worker's.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from benchmarks.contenders.polling import CONTRACT, announce_end, announce_start, polls
from delivery import settings
from delivery.domain.event import OrderCreated, decode
from delivery.domain.record import record_time
from delivery.postgres import database

BATCH_SIZE = 2000

TABLES = """
CREATE TABLE bare_events (
    order_id bigint NOT NULL, event_time timestamptz NOT NULL, outcome text NOT NULL,
    payload json NOT NULL, record_topic text NOT NULL, record_partition integer NOT NULL,
    record_offset bigint NOT NULL, record_time timestamptz, consumed_at timestamptz NOT NULL
)
"""

_COPY = "COPY bare_events FROM STDIN (FORMAT binary)"
_TYPES = ("int8", "timestamptz", "text", "bytea", "text", "int4", "int8", "timestamptz",
          "timestamptz")  # fmt: skip


def main() -> None:
    """Reads the topic to its end, then writes it."""
    rows = made_rows()
    url = settings.load(settings.DatabaseSettings).database_url
    with database.connect(url, "bare COPY") as connection:
        announce_start()
        for first in range(0, len(rows), BATCH_SIZE):
            copy(connection, rows[first : first + BATCH_SIZE])
        announce_end(len(rows))


def made_rows() -> list[tuple[Any, ...]]:
    """The rows of the log, but all with one outcome."""
    now, rows = datetime.now(UTC), []
    for batch in polls(BATCH_SIZE, announced=False):
        for record in batch:
            time = record_time(record.timestamp)
            event = decode(CONTRACT, record.value, time)
            assert isinstance(event, OrderCreated)  # noqa: S101  the records are all good
            coordinates = record.topic, record.partition, record.offset
            rows.append(
                (
                    event.order_id,
                    event.event_time,
                    "created",
                    event.payload,
                    *coordinates,
                    time,
                    now,
                )
            )
    return rows


def copy(connection: database.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """One transaction."""
    with connection.transaction(), connection.cursor() as cursor, cursor.copy(_COPY) as copying:
        copying.set_types(_TYPES)
        for row in rows:
            copying.write_row(row)


if __name__ == "__main__":
    main()
