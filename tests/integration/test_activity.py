"""Counting beside the requests: rows of transactions that commit long after their clock."""

from datetime import UTC, datetime, timedelta

from pydantic import SecretStr

from delivery.postgres import database
from delivery.postgres.database import Connection
from delivery.web.activity import count
from delivery.web.minutes import MINUTE, Minutes

HOUR = timedelta(hours=1)

INSERT = """
INSERT INTO processed_events (order_id, event_time, outcome, payload, record_topic,
                              record_partition, record_offset, consumed_at)
VALUES (1, now(), 'created', '{}', 'orders', 0, 0, now())
"""


def records(minutes: Minutes, at: datetime) -> int:
    """How many are counted in the hour around a time."""
    buckets = minutes.buckets(at - HOUR / 2, at + HOUR / 2, MINUTE)
    return sum(sum(bucket.counts.values()) for bucket in buckets if bucket.counts)


def test_a_transaction_that_commits_after_20_minutes_is_counted(
    connection: Connection, database_url: str
) -> None:
    minutes = Minutes(HOUR, late_commit_window=HOUR / 2)
    began = datetime.now(UTC)
    with database.connect(SecretStr(database_url), "worker") as worker:
        with worker.transaction():
            worker.execute(INSERT)
            for age in range(21):  # as the clock of the one who counts goes on
                count(minutes, connection, began + age * MINUTE)
            assert records(minutes, began) == 0
        for age in range(21, 40):
            count(minutes, connection, began + age * MINUTE)
    assert records(minutes, began) == 1
