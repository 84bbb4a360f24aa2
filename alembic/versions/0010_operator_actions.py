"""What people do from the pages is written down: who, when, what, why, and to how many letters.

Revision ID: 0010
Revises: 0009

A new table `operator_actions`, which stays empty where nobody may act from the pages. The role that
acts there gets its rights by `delivery migrate --operator-role`.

What it locks: nothing that is there already. Workers of the version before run on beside it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None
oldest_code = "0008"

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "operator_actions",
        sa.Column("action_id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("begun_at", TIME, nullable=False, server_default=sa.func.now()),
        sa.Column("acted_by", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("letters", sa.Text, nullable=False),
        sa.Column("chosen", sa.BigInteger, nullable=False),
        sa.Column("done", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("progressed_at", TIME, nullable=False, server_default=sa.func.now()),
        sa.Column("ended_at", TIME),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("action_id"),
        sa.CheckConstraint("action IN ('replay', 'discard', 'reveal')", name="action"),
        sa.CheckConstraint("reason <> ''", name="reason"),
    )
    # One that has not ended keeps others from beginning.
    op.create_index(
        "uq_operator_actions_running",
        "operator_actions",
        [sa.text("(ended_at IS NULL)")],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_table("operator_actions")
