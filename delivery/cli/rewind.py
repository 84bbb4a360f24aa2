"""`delivery rewind`"""

from typing import Annotated

import typer

from delivery import settings
from delivery.broker import topic
from delivery.cli import output
from delivery.inbox import log_end
from delivery.postgres import database


def rewind(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be committed, and commit nothing.")
    ] = False,
) -> None:
    """Read again what the log lacks below the committed offsets.

    After a standby was promoted without the last transactions, or a backup was
    restored, the group's offsets are ahead of the log. This sets them back to
    where the log ends in each partition; the workers then read on from there,
    and recognise what the log holds. A running worker does the same by itself
    at each new session and each assignment.

    A partition of which the log holds no record is left alone: its offset may
    be that of a service before this one. It refuses while the group has members.

    \b
    Exit codes: 0 done, 1 the group has members, 2 settings, 3 no service.
    Example:
      delivery rewind --dry-run
    """
    kafka = settings.load(settings.KafkaSettings)
    url = settings.load(settings.DatabaseSettings).database_url
    with topic.opened(kafka) as source:
        if not dry_run:
            source.require_no_members()
        committed = source.committed()
        ends = {(*partition, source.topic_id): offset for partition, offset in committed.items()}
        with database.snapshot(url, "delivery rewind") as connection:
            missing = log_end.missing_from(connection, ends)
            is_citus = connection.is_citus
        back = {partition[:2]: offset for partition, offset in missing.items() if offset}
        if back and not dry_run:
            source.commit(back)
    rows = [(f"{p[0]}/{p[1]}", committed[p], offset) for p, offset in sorted(back.items())]
    if rows:
        output.table(("partition", "committed", "log ends at"), rows)
    else:
        output.note("nothing to do: the log goes as far as the committed offsets")
    if is_citus:
        output.note(
            "where one machine of a Citus cluster lost its last rows, the log lacks some before "
            "its end: `delivery verify` names them"
        )
    if rows and dry_run:
        output.note("nothing is committed: this was a dry run")
