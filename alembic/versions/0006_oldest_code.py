"""The schema says which versions of the code run on it.

Revision ID: 0006
Revises: 0005

A version of the code knows its own revision and no later one. `schema_revisions` tells it whether
it runs on a later one as well, so that the schema can be migrated first and the workers started
anew one after the other. Each migration from here on has an `oldest_code`, and `env.py` writes it
down.

What it locks: nothing that is there already. Workers of the version before run on, with a red
`/readyz`; one that is started now ends with exit code 2. From this revision on neither happens.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None
oldest_code = "0005"


def upgrade() -> None:
    op.create_table(
        "schema_revisions",
        sa.Column("revision", sa.Text, primary_key=True),
        sa.Column("oldest_code", sa.Text, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("schema_revisions")
