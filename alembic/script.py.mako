"""${message}

Revision ID: ${up_revision}
Revises: ${down_revision | comma,n}

What it locks: ... It gives up after 5 s where a long query stands in its way, and changes nothing
then. Workers of the version before ...
"""

import sqlalchemy as sa
from alembic import op

revision = "${up_revision}"
down_revision = "${down_revision}"
branch_labels = None
depends_on = None
# The revision of the oldest version of the code that runs on this schema: the one before, unless that
# version would fail on it.
oldest_code = "${up_revision}"


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
