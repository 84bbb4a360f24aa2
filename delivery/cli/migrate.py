"""`delivery migrate`"""

from typing import Annotated

import typer

from delivery import settings
from delivery.cli import output
from delivery.cli.arguments import require_text
from delivery.postgres import migrations, roles


def migrate(
    worker_role: Annotated[
        str | None,
        typer.Option(
            metavar="ROLE",
            callback=require_text,
            help="Give this role what a worker needs, and no more.",
        ),
    ] = None,
    announcer_role: Annotated[
        str | None,
        typer.Option(
            metavar="ROLE",
            callback=require_text,
            help="Give this role what `delivery announce` needs, and no more.",
        ),
    ] = None,
    reader_role: Annotated[
        str | None,
        typer.Option(
            metavar="ROLE",
            callback=require_text,
            help="Give this role the right to look at everything.",
        ),
    ] = None,
) -> None:
    """Bring the database's schema to this version's revision.

    Safe to run at every deployment: it does nothing where nothing is to be
    done, and two that run at once take turns. Run it as the owner of the
    tables, and the workers as a role that can add to the log but not change it.

    \b
    Example:
      createuser delivery_worker
      delivery migrate --worker-role delivery_worker
    """
    url = settings.load(settings.DatabaseSettings).database_url
    before, after = migrations.upgrade(url)
    if before == after:
        output.text(f"the schema is at revision {after} already")
    else:
        output.text(f"the schema went from revision {before} to {after}")
    if worker_role is not None:
        roles.grant(url, "worker", worker_role)
        output.text(f"role {worker_role} may run workers")
    if announcer_role is not None:
        roles.grant(url, "announcer", announcer_role)
        output.text(f"role {announcer_role} may announce")
    if reader_role is not None:
        roles.grant(url, "reader", reader_role)
        output.text(f"role {reader_role} may read")
