"""A record's coordinates say of which topic of that name.

Revision ID: 0003
Revises: 0002

A topic that is deleted and made anew under its name has the old coordinates again. Kafka gives each
of them an id, which now stands beside the coordinates. Rows of before have zeros, as Kafka itself
writes an id that is not known: they may be of any topic of that name.

What it locks: the three logs, also for reading. The new column has a constant default, so that no
row is rewritten; the keys of `duplicate_events` and `dead_letters` are built anew, which takes
about a second for each million of their rows. It gives up after 5 s where a long query stands in
its way, and changes nothing then. Workers of the version before end at their next duplicate or dead
letter; start the new version's at once.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import UUID

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

LOGS = ("processed_events", "duplicate_events", "dead_letters")
COORDINATES = ["record_topic", "record_partition", "record_offset"]
UNKNOWN = sa.text("'00000000-0000-0000-0000-000000000000'")

UNIQUE_BEFORE = "uq_dead_letters_record_topic_record_partition_record_offset"
UNIQUE = "uq_dead_letters_coordinates"

# The strongest lock at once. One that grows later would deadlock with a worker that has read the
# table and waits to write to it.
LOCK = f"LOCK TABLE {', '.join(LOGS)} IN ACCESS EXCLUSIVE MODE"

VIEW = """
CREATE OR REPLACE VIEW event_history AS
SELECT order_id, event_time, outcome, record_topic, record_partition, record_offset, record_time,
       consumed_at, payload, NULL::text AS reason, NULL::text AS error,
       NULL::bigint AS dead_letter_id, NULL::text AS resolution{topic_id}
FROM processed_events
UNION ALL
SELECT order_id, event_time, CASE WHEN payload_differs THEN 'conflict' ELSE 'duplicate' END,
       record_topic, record_partition, record_offset, record_time,
       consumed_at, payload, NULL, NULL, NULL, NULL{topic_id}
FROM duplicate_events
UNION ALL
SELECT order_id, NULL, 'rejected', record_topic, record_partition, record_offset, record_time,
       consumed_at, NULL, reason, error, dead_letter_id, resolution{topic_id}
FROM dead_letters
WHERE resolution IS DISTINCT FROM 'replayed'
"""


def upgrade() -> None:
    op.execute(LOCK)
    for log in LOGS:
        op.add_column(
            log, sa.Column("record_topic_id", UUID, nullable=False, server_default=UNKNOWN)
        )
    op.drop_constraint(UNIQUE_BEFORE, "dead_letters", type_="unique")
    set_keys([*COORDINATES, "record_topic_id"], UNIQUE)
    op.execute(VIEW.format(topic_id=", record_topic_id"))


def downgrade() -> None:
    """Fails where two topics of one name have rows at the same coordinates. The rights to the view
    have to be given again.
    """
    op.execute(LOCK)
    op.execute("DROP VIEW event_history")
    op.drop_constraint(UNIQUE, "dead_letters", type_="unique")
    set_keys(COORDINATES, UNIQUE_BEFORE)
    for log in LOGS:
        op.drop_column(log, "record_topic_id")
    op.execute(VIEW.format(topic_id=""))


def set_keys(columns: list[str], unique: str) -> None:
    op.drop_constraint("pk_duplicate_events", "duplicate_events", type_="primary")
    op.create_primary_key("pk_duplicate_events", "duplicate_events", columns)
    op.create_unique_constraint(unique, "dead_letters", columns)
