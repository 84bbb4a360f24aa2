"""${message}

Revision ID: ${up_revision}
Revises: ${down_revision | comma,n}

What it locks: ... It gives up after 5 s where a long query stands in its way, and changes nothing
then. Workers ...
"""

import sqlalchemy as sa
from alembic import op

revision = "${up_revision}"
down_revision = "${down_revision}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
