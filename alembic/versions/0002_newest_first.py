"""The newest rows of a log are found by index, whatever its size.

Revision ID: 0002
Revises: 0001

The BRIN indexes on `consumed_at` find a span of time and give no order: to show the newest hundred
rows, all of the span had to be read and sorted. The btree indexes give the order. The records of
one transaction share one `consumed_at`, which a btree keeps once for many rows. Three more indexes
are for what is rare among many: one that all rows of outcome `created` stay out of, one for
conflicts alone, and one for the dead letters of one reason.

What it locks: the three logs, also for reading, until the indexes are built. It reads each row
once: about a second for each million. It gives up after 5 s where a long query stands in its way,
and changes nothing then. Workers wait, or try again as after any outage; nothing is lost.

With many millions of rows, build the indexes of the partitions beforehand, beside the running
workers. The migration then finds and uses them, and takes a moment. psql runs the statements that
this prints:

    SELECT format('CREATE INDEX CONCURRENTLY ON %s (consumed_at)', relid),
           format('CREATE INDEX CONCURRENTLY ON %s (outcome, consumed_at) '
                  'WHERE outcome <> ''created''', relid)
    FROM pg_partition_tree('processed_events') WHERE isleaf \\gexec
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

LOGS = ("processed_events", "duplicate_events", "dead_letters")
BRIN = {"postgresql_using": "brin", "postgresql_with": {"autosummarize": "on"}}

# The strongest lock at once. One that grows later would deadlock with a worker that has read the
# table and waits to write to it.
LOCK = f"LOCK TABLE {', '.join(LOGS)} IN ACCESS EXCLUSIVE MODE"


def upgrade() -> None:
    op.execute(LOCK)
    for log in LOGS:
        op.drop_index(f"ix_{log}_consumed_at", log)
        op.create_index(None, log, ["consumed_at"])
    op.create_index(
        "ix_processed_events_rare",
        "processed_events",
        ["outcome", "consumed_at"],
        postgresql_where=sa.text("outcome <> 'created'"),
    )
    op.create_index(
        "ix_duplicate_events_conflicts",
        "duplicate_events",
        ["consumed_at"],
        postgresql_where=sa.text("payload_differs"),
    )
    op.create_index(None, "dead_letters", ["reason", "dead_letter_id"])


def downgrade() -> None:
    op.execute(LOCK)
    op.drop_index("ix_dead_letters_reason_dead_letter_id", "dead_letters")
    op.drop_index("ix_duplicate_events_conflicts", "duplicate_events")
    op.drop_index("ix_processed_events_rare", "processed_events")
    for log in LOGS:
        op.drop_index(f"ix_{log}_consumed_at", log)
        op.create_index(None, log, ["consumed_at"], **BRIN)
