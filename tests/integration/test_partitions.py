"""What a worker says of the log's partitions."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
import structlog
from pydantic import SecretStr

from delivery.postgres.database import Connection, Session
from delivery.postgres.partitions import Partitions

# A month that has no partition, as where no worker ran for a year, and an event of it.
_AN_EVENT_COMES_FIRST = """
DO $$
DECLARE next_month timestamptz := date_trunc('month', now() AT TIME ZONE 'UTC')
                                  AT TIME ZONE 'UTC' + interval '40 days';
BEGIN
    EXECUTE 'DROP TABLE processed_events_' || to_char(next_month AT TIME ZONE 'UTC', 'YYYY_MM');
    INSERT INTO processed_events (order_id, event_time, outcome, payload, record_topic,
                                  record_partition, record_offset, record_time)
    VALUES (1, next_month, 'created', '{}', 'orders', 0, 0, now());
END $$
"""


@pytest.fixture
def worker(database_url: str) -> Iterator[Connection]:
    session = Session(SecretStr(database_url), timedelta(seconds=45))
    yield session.connection()
    session.drop()


def test_a_month_that_stays_in_the_default_partition_is_logged(
    connection: Connection, worker: Connection
) -> None:
    connection.execute(_AN_EVENT_COMES_FIRST)
    with structlog.testing.capture_logs() as logged:
        Partitions().ensure(worker)
        worker.execute("DO $$ BEGIN RAISE WARNING 'of somebody else'; END $$")
    (log,) = logged
    assert log["log_level"] == "warning"
    assert "lie in processed_events_default and stay there" in log["detail"]


def test_nothing_is_logged_where_all_is_well(worker: Connection) -> None:
    with structlog.testing.capture_logs() as logged:
        Partitions().ensure(worker)
    assert logged == []
