"""`delivery downgrade`"""

from typing import Annotated

import typer

from delivery import settings
from delivery.cli import output
from delivery.postgres import migrations


def downgrade(
    revision: Annotated[
        str, typer.Argument(metavar="REVISION", help="As `migrate status` has it.")
    ],
) -> None:
    """Take the database's schema back to an earlier revision.

    It is for a version of the code that does not run on the schema, as
    `delivery migrate status` says. Only this version's files know the way back.
    Take a backup, stop all workers and announcers, run it as the owner of the
    tables, and start the workers of the version before. What the migrations
    above REVISION added is dropped, with its rows; the log stays.

    \b
    Example:
      delivery downgrade 0005
    """
    url = settings.load(settings.DatabaseSettings).database_url
    migrations.downgrade(url, revision)
    output.text(f"the schema is at revision {revision}")
