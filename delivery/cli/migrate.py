"""`delivery migrate`"""

import typer

from delivery import migrations, settings


def migrate() -> None:
    """Bring the database's schema to the revision that this version needs.

    Safe to run at every deployment: it does nothing where nothing is to be done, and two that run
    at once take turns.
    """
    before, after = migrations.upgrade(settings.load(settings.DatabaseSettings).database_url)
    if before == after:
        typer.echo(f"the schema is at revision {after} already")
    else:
        typer.echo(f"the schema went from revision {before} to {after}")
