"""`delivery migrate`"""

import sys
from typing import Annotated, Literal

import typer
from pydantic import SecretStr

from delivery import settings
from delivery.cli import NO, output
from delivery.cli.arguments import require_text
from delivery.postgres import database, distributed, migrations, roles, search_indexes


def migrate(
    what: Annotated[
        Literal["status"] | None,
        typer.Argument(metavar="[status]", help="Show each migration, and change nothing."),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Change nothing; exit code 1 where migrations are pending."),
    ] = False,
    sql: Annotated[
        bool,
        typer.Option("--sql", help="Print the pending migrations' statements, and change nothing."),
    ] = False,
    is_distributed: Annotated[
        bool,
        typer.Option(
            "--distributed",
            help="On Citus: distribute the log and the deliveries by order; with --check, exit "
            "code 1 where they are not.",
        ),
    ] = False,
    shards: Annotated[
        int, typer.Option(min=1, metavar="N", help="With --distributed: over so many shards.")
    ] = distributed.SHARDS,
    with_search_indexes: Annotated[
        bool,
        typer.Option(
            "--search-indexes",
            help="Build the indexes for `history --event-id` and `--ordered-by`, beside running "
            "workers. They cost each record some time from then on.",
        ),
    ] = False,
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
    erasure_role: Annotated[
        str | None,
        typer.Option(
            metavar="ROLE",
            callback=require_text,
            help="Give this role what `delivery erase` needs, and no more.",
        ),
    ] = None,
    operator_role: Annotated[
        str | None,
        typer.Option(
            metavar="ROLE",
            callback=require_text,
            help="Give this role what operators of `delivery serve` need: to resolve dead letters.",
        ),
    ] = None,
) -> None:
    """Bring the database's schema to this version's revision.

    Safe to run at every deployment: it does nothing where nothing is to be
    done, and two that run at once take turns. Run it as the owner of the
    tables, and the workers as a role that can add to the log but not change it.
    The schema goes first, the workers follow one after the other: those of the
    version before run on a later schema that says so (`delivery migrate status`).

    On a Citus cluster --distributed, beside a stopped service, spreads the log
    and the deliveries over its nodes, with the rows that they hold. Done once,
    it stays done; later migrations know of it.

    \b
    Examples:
      createuser delivery_worker
      delivery migrate --worker-role delivery_worker
      delivery migrate --distributed --shards 8
    """
    url = settings.load(settings.DatabaseSettings).database_url
    if what == "status":
        _show_status(url)
    elif check:
        _check(url, is_distributed)
    elif sql:
        migrations.write_statements(url, sys.stdout)
    else:
        granted: dict[roles.Kind, str | None] = {
            "worker": worker_role,
            "announcer": announcer_role,
            "reader": reader_role,
            "erasure": erasure_role,
            "operator": operator_role,
        }
        _upgrade(url, granted, shards if is_distributed else None)
        if with_search_indexes:
            built = search_indexes.build(url)
            output.text(f"indexes built: {', '.join(built) or 'none, they are there already'}")


def _show_status(url: SecretStr) -> None:
    found = migrations.status(url)
    rows = [
        [one.revision, "applied" if one.is_applied else "pending", one.oldest_code or "", one.title]
        for one in found.migrations
    ]
    output.table(["revision", "status", "oldest_code", "title"], rows)
    output.text(
        f"the schema is at revision {found.revision}, this version's is {database.REVISION}"
    )
    if (distribution := distributed.find(url)) is not None:
        output.text(f"the log is {distribution}")


def _check(url: SecretStr, is_to_be_distributed: bool) -> None:
    found = migrations.status(url)
    pending = ", ".join(migration.revision for migration in found.pending)
    if pending:
        output.text(f"the schema is at revision {found.revision}; pending: {pending}")
        raise typer.Exit(NO)
    output.text(f"the schema is at revision {found.revision}; nothing is pending")
    distribution = distributed.find(url)
    if distribution is not None:
        output.text(f"the log is {distribution}")
    elif is_to_be_distributed:
        output.text("the log is not distributed")
        raise typer.Exit(NO)


_MAY = {
    "worker": "may run workers",
    "announcer": "may announce",
    "reader": "may read",
    "erasure": "may erase personal data",
    "operator": "may act from the pages",
}


def _upgrade(url: SecretStr, granted: dict[roles.Kind, str | None], shards: int | None) -> None:
    before, after = migrations.upgrade(url)
    if database.is_later(after):
        output.text(
            f"the schema is at revision {after}, of a later version; this version runs on it. "
            "Nothing is changed: rights to its tables are for that version to give"
        )
        return
    if before == after:
        output.text(f"the schema is at revision {after} already")
    else:
        output.text(f"the schema went from revision {before} to {after}")
    if shards is not None:
        _distribute(url, shards)
    for kind, role in granted.items():
        if role is not None:
            roles.grant(url, kind, role)
            output.text(f"role {role} {_MAY[kind]}")


def _distribute(url: SecretStr, shards: int) -> None:
    before = distributed.find(url)
    after = distributed.distribute(url, shards)
    output.text(f"the log is {after}" + (" already" if before == after else ""))
    for warning in distributed.warnings(url):
        output.note(warning)
