"""A dead letter says who resolved it, beside when and why.

Revision ID: 0009
Revises: 0008

A column `resolved_by` in `dead_letters`: null where it is open, or a version before resolved it.
Whoever may write why a letter was resolved may write who did it.

What it locks: `dead_letters`, also for reading, for a moment. The new column is null, so that no
row is rewritten or read. It gives up after 5 s where a long query stands in its way, and changes
nothing then. Workers of the version before run on.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None
oldest_code = "0008"

# The rights of a version before, as `delivery migrate --worker-role` gave them by column.
GRANT = """
DO $$
DECLARE
    grantee text;
BEGIN
    FOR grantee IN
        SELECT p.grantee FROM information_schema.column_privileges AS p
        WHERE p.table_schema = current_schema() AND p.table_name = 'dead_letters'
          AND p.column_name = 'resolution_note' AND p.privilege_type = 'UPDATE'
          AND p.grantee NOT IN (current_user, 'PUBLIC')
    LOOP
        EXECUTE format('GRANT UPDATE (resolved_by) ON dead_letters TO %I', grantee);
    END LOOP;
END $$
"""


def upgrade() -> None:
    op.execute("LOCK TABLE dead_letters IN ACCESS EXCLUSIVE MODE")
    op.add_column("dead_letters", sa.Column("resolved_by", sa.Text))
    op.execute(GRANT)


def downgrade() -> None:
    op.execute("LOCK TABLE dead_letters IN ACCESS EXCLUSIVE MODE")
    op.drop_column("dead_letters", "resolved_by")
