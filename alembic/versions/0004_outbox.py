"""Created deliveries are announced: what is still to be announced, and what was, when and where.

Revision ID: 0004
Revises: 0003

Four new tables, which are empty and stay so where DELIVERY_ANNOUNCE_TOPIC is not set:

- `outbox`: a row for each delivery that is to be announced, written in the transaction that creates
  the delivery, and deleted in the one that writes its row of `announcements`;
- `announcements`: what was announced, with its coordinates in the topic of announcements;
- `announced_positions`: for each partition of that topic, from where on a restarted announcer looks
  for what it had committed to Kafka and not yet marked here;
- `outbox_periods`: when the outbox was switched on and off, for `delivery verify`.

What it locks: nothing that is there already. Workers of the version before run on beside it; they
fill no outbox.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import UUID

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)

# Rows come and go: at the defaults the announcer would walk through the dead rows of a fifth of the
# largest backlog that there ever was.
VACUUM_SOON = {"autovacuum_vacuum_scale_factor": 0, "autovacuum_vacuum_threshold": 10_000}


def upgrade() -> None:
    create_outbox()
    create_announcements()
    create_announced_positions()
    create_outbox_periods()


def downgrade() -> None:
    for table in ("outbox_periods", "announced_positions", "announcements", "outbox"):
        op.drop_table(table)


def create_outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("consumed_at", TIME, nullable=False),
        sa.Column("order_id", sa.BigInteger, nullable=False),
        sa.Column("event_time", TIME, nullable=False),
        sa.PrimaryKeyConstraint("consumed_at", "order_id", "event_time"),
        postgresql_with=VACUUM_SOON,
    )


def create_announcements() -> None:
    op.create_table(
        "announcements",
        sa.Column("order_id", sa.BigInteger, nullable=False),
        sa.Column("event_time", TIME, nullable=False),
        sa.Column("announced_at", TIME, nullable=False, server_default=sa.func.now()),
        sa.Column("announced_topic", sa.Text, nullable=False),
        sa.Column("announced_partition", sa.Integer, nullable=False),
        sa.Column("announced_offset", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("order_id", "event_time"),
    )
    op.execute("SELECT keep_log('announcements')")


def create_announced_positions() -> None:
    op.create_table(
        "announced_positions",
        sa.Column("announced_topic", sa.Text, nullable=False),
        sa.Column("announced_partition", sa.Integer, nullable=False),
        sa.Column("announced_topic_id", UUID, nullable=False),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("announced_topic", "announced_partition"),
    )


def create_outbox_periods() -> None:
    op.create_table(
        "outbox_periods",
        sa.Column("switched_on_at", TIME, nullable=False),
        sa.Column("switched_off_at", TIME),
        sa.PrimaryKeyConstraint("switched_on_at"),
        sa.CheckConstraint("switched_off_at >= switched_on_at", name="on_before_off"),
    )
