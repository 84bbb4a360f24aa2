"""A dead letter that names an order in broken JSON is found by that order's id.

Revision ID: 0011
Revises: 0010

An index of the number behind `orderId` in the first 4,000 bytes of a dead letter's value, for those
letters whose order's id could not be read. See `delivery/postgres/named_order.py`.

What it locks: `dead_letters` against writing, until the index is built: 5 s for each million
letters of 350 bytes, measured on two cores. Workers wait, or try again as after any
outage; nothing is lost. It gives up after 5 s where a long query stands in its way, and changes
nothing then. With many millions of letters, build it beforehand under its name, beside the running
workers: with CREATE INDEX CONCURRENTLY, and the rest as `delivery migrate --sql` prints it. The
migration then takes a moment.

Workers of the version before run on beside it.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None
oldest_code = "0008"

NAMED_ORDER = (
    "substring(encode(substring(record_value, 1, 4000), 'escape'), "
    "'orderId[^A-Za-z0-9-]{1,12}0*([1-9][0-9]{0,18})(?![0-9.])')"
)


def upgrade() -> None:
    op.execute("LOCK TABLE dead_letters IN SHARE MODE")
    op.execute(
        f"CREATE INDEX IF NOT EXISTS ix_dead_letters_named_order ON dead_letters (({NAMED_ORDER})) "
        "WHERE order_id IS NULL"
    )


def downgrade() -> None:
    op.execute("LOCK TABLE dead_letters IN ACCESS EXCLUSIVE MODE")
    op.drop_index("ix_dead_letters_named_order", "dead_letters")
