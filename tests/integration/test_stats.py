"""The counts: everything is named, also where it is 0, and all are of one moment."""

from datetime import UTC, datetime, timedelta

from pydantic import SecretStr

from delivery.dead_letters import queries
from delivery.history import stats
from delivery.history.stats import Log
from delivery.postgres import database
from delivery.postgres.database import Connection

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)

NO_LETTERS = {
    "tombstone": 0,
    "not_json": 0,
    "missing_field": 0,
    "invalid_field": 0,
    "invalid_time": 0,
    "future_event_time": 0,
    "refused_by_database": 0,
}
NO_DELIVERIES = {"pending": 0, "dispatched": 0, "delivered": 0, "cancelled": 0}
NOTHING = Log(
    outcomes={
        "created": 0,
        "updated": 0,
        "too_late": 0,
        "stale": 0,
        "duplicate": 0,
        "conflict": 0,
        "rejected": 0,
    },
    first_consumed_at=None,
    last_consumed_at=None,
)

ROWS = """
INSERT INTO processed_events (order_id, event_time, outcome, payload, record_topic,
                              record_partition, record_offset, consumed_at)
VALUES (1, '2026-11-01', 'created', '{}', 'orders', 0, 1, %(now)s),
       (1, '2026-11-02', 'updated', '{}', 'orders', 0, 2, %(now)s + interval '1 minute'),
       (1, '2026-11-03', 'updated', '{}', 'orders', 0, 3, %(now)s + interval '2 minutes');
INSERT INTO deliveries (order_id, event_time, status)
VALUES (1, '2026-11-03', 'pending'), (2, '2026-11-03', 'delivered');
INSERT INTO duplicate_events (record_topic, record_partition, record_offset, order_id, event_time,
                              payload_differs, payload, consumed_at)
VALUES ('orders', 0, 4, 1, '2026-11-01', true, '1', %(now)s + interval '9 minutes');
INSERT INTO dead_letters (record_topic, record_partition, record_offset, record_headers, reason,
                          error, consumed_at, resolved_at, resolution)
VALUES ('orders', 0, 5, '[]', 'not_json', '', %(now)s, null, null),
       ('orders', 0, 6, '[]', 'tombstone', '', %(now)s, %(now)s, 'discarded'),
       ('orders', 0, 7, '[]', 'tombstone', '', %(now)s, %(now)s, 'replayed');
"""


LETTER = """
INSERT INTO dead_letters (record_topic, record_partition, record_offset, record_headers, reason,
                          error)
VALUES ('orders', 0, %s, '[]', %s, '')
"""

Counts = tuple[Log, dict[str, int], dict[str, int]]


def counted(database_url: str) -> Counts:
    """The log, the deliveries by status, the open dead letters by reason."""
    with database.snapshot(SecretStr(database_url), "test") as connection:
        return stats.count(connection), stats.deliveries(connection), queries.count_open(connection)


def test_of_an_empty_database_everything_is_named_and_zero(database_url: str) -> None:
    assert counted(database_url) == (NOTHING, NO_DELIVERIES, NO_LETTERS)


def test_records_are_counted_by_what_they_became(connection: Connection, database_url: str) -> None:
    for statement in filter(str.strip, ROWS.split(";")):
        connection.execute(statement.encode(), {"now": NOW})
    log = Log(
        # The letter that was replayed is in the log as what it became.
        outcomes=NOTHING.outcomes | {"created": 1, "updated": 2, "conflict": 1, "rejected": 2},
        first_consumed_at=NOW,
        last_consumed_at=NOW + timedelta(minutes=9),
    )
    deliveries = NO_DELIVERIES | {"pending": 1, "delivered": 1}
    assert counted(database_url) == (log, deliveries, NO_LETTERS | {"not_json": 1})


def test_open_letters_are_counted_no_further_than_asked_for(connection: Connection) -> None:
    for offset in range(5):
        connection.execute(LETTER, (offset, "not_json"))
    connection.execute(LETTER, (5, "tombstone"))
    assert queries.count_open(connection, 3) == NO_LETTERS | {"not_json": 3, "tombstone": 1}
