"""Whole months may leave the log: which ones, and the offsets of their records.

Revision ID: 0008
Revises: 0007

Two new tables, which stay empty where nobody runs `delivery archive`:

- `archived_months`: a row for each file that the rows of a month went to;
- `archived_offsets`: for each of them the offsets of its records, in blocks of 65,536, so that each
  record is still accounted for, and is recognised when it is consumed again.

What it locks: nothing that is there already. Workers of the version before run on beside it, as
long as nothing is archived: they would take archived records for lost and read them again. Give the
roles their rights again (`delivery migrate --worker-role`): a worker reads both tables.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import INT8MULTIRANGE, JSON, UUID

from delivery.errors import SettingsError

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None
oldest_code = "0007"

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    create_archived_months()
    create_archived_offsets()


def downgrade() -> None:
    """Refused where months were archived: code of before would take their records for lost."""
    refuse_where_months_are_archived()
    op.drop_table("archived_offsets")
    op.drop_table("archived_months")


def refuse_where_months_are_archived() -> None:
    if op.get_bind().execute(sa.text("SELECT EXISTS (SELECT FROM archived_months)")).scalar_one():
        raise SettingsError(
            "months of the log are archived: the version before takes their records for lost and "
            "reads them again. There is no way down"
        )


def create_archived_months() -> None:
    op.create_table(
        "archived_months",
        sa.Column("month", sa.Date, nullable=False),
        sa.Column("part", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("first_consumed_at", TIME, nullable=False),
        sa.Column("last_consumed_at", TIME, nullable=False),
        sa.Column("file_name", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("manifest", JSON, nullable=False),
        sa.Column("archived_by", sa.Text, nullable=False, server_default=sa.text("SESSION_USER")),
        sa.Column("archived_at", TIME, nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("month", "part"),
    )


def create_archived_offsets() -> None:
    op.create_table(
        "archived_offsets",
        sa.Column("record_topic", sa.Text, nullable=False),
        sa.Column("record_partition", sa.Integer, nullable=False),
        sa.Column("record_topic_id", UUID, nullable=False),
        sa.Column("block", sa.BigInteger, nullable=False),
        sa.Column("month", sa.Date, nullable=False),
        sa.Column("part", sa.Integer, nullable=False),
        sa.Column("offsets", INT8MULTIRANGE, nullable=False),
        sa.PrimaryKeyConstraint(
            "record_topic", "record_partition", "block", "record_topic_id", "month", "part"
        ),
        sa.ForeignKeyConstraint(
            ["month", "part"],
            ["archived_months.month", "archived_months.part"],
            name="fk_archived_offsets_archived_months",
            ondelete="CASCADE",
        ),
    )
