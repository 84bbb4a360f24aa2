"""Takes months out of the log, the oldest first: write, read back, then remove."""

from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pydantic import SecretStr

from delivery.archive import removal, rows
from delivery.archive.compressed import Written
from delivery.archive.folder import Folder
from delivery.archive.manifest import Content, file_name
from delivery.archive.removal import ChangedError
from delivery.domain.month import Month, listed
from delivery.errors import ForbiddenError, RaceError, UnavailableError
from delivery.postgres import database
from delivery.postgres.database import Connection

APPLICATION = "delivery archive"

# How often a month is written where events of it arrive meanwhile, and how often a lock is asked
# for that a long query holds: each waits for a second at most, as long as workers wait behind it.
ATTEMPTS = 5

Say = Callable[[str], None]

_IS_OWNER = """
SELECT current_user, pg_has_role(relowner, 'MEMBER') FROM pg_class
WHERE oid = 'processed_events'::regclass
"""


class Archived(NamedTuple):
    """A file that the rows of a month went to; its path where it is in a folder of ours."""

    month: Month
    part: int
    rows: int
    path: Path | None


def months(url: SecretStr, before: Month, say: Say) -> list[Month]:
    """The months that are to leave the log. Raises ForbiddenError for anybody but the owner."""
    with database.snapshot(url, APPLICATION) as connection:
        ((role, is_owner),) = connection.execute(_IS_OWNER)
        if not is_owner:
            raise ForbiddenError(
                f"role {role} may not take months out of the log: run `delivery archive` as the "
                "owner of the tables"
            )
        found = rows.months_before(connection, before)
        return _removable(connection, found, say) if connection.is_citus else found


def _removable(connection: Connection, found: list[Month], say: Say) -> list[Month]:
    """The months with a partition of their own. From the default one rows are deleted, which its
    triggers refuse, and Citus does not switch off those of its shards.
    """
    own = {partition.month for partition in rows.partitions(connection)}
    if left := [month for month in found if month not in own]:
        say(
            f"{listed(left)}: in the default partition, which no rows can leave on "
            "Citus; they stay in the log"
        )
    return [month for month in found if month in own]


def take(url: SecretStr, month: Month, folder: Folder, say: Say) -> Archived | None:
    """Takes one month out of the log; None where somebody else just did.

    Interrupted anywhere, the rows are in the log or in a file with its name, which was read back:
    for a moment in both. Raises RaceError where events of the month go on arriving,
    UnavailableError where a lock can't be had, or the disk or the server fails.
    """
    for _ in range(ATTEMPTS):
        content = written(url, month, folder, say)
        if content.fingerprint.rows == 0:
            return None
        try:
            return _removed(url, content, folder, say)
        except ChangedError as error:
            folder.retract()
            say(f"{error}: writing it again")
    raise RaceError(f"events of {month} go on arriving: run `delivery archive` again later")


def written(url: SecretStr, month: Month, folder: Folder, say: Say) -> Content:
    """The month in a file, which was read back and has no name yet."""
    say(f"{month}: writing")
    with database.snapshot(url, APPLICATION) as connection:
        content = read(connection, month, partial(folder.write, month))
    say(f"{month}: reading {content.written.file.bytes:,} bytes back")
    found = folder.read_back(month, content.written)
    if found != content.fingerprint.rows:
        raise UnavailableError(
            f"the file of {month} has {found} rows and the log {content.fingerprint.rows}: nothing "
            "is removed"
        )
    return content


def read(
    connection: Connection, month: Month, write: Callable[[Iterable[bytes]], Written]
) -> Content:
    """The month as the connection's transaction sees it, with its text handed to `write`."""
    columns = rows.columns(connection)
    fingerprint = rows.fingerprint(connection, month)
    # Closed at once also by a Ctrl-C: its COPY ends before the transaction, which waited for it.
    with closing(rows.text(connection, month, columns)) as text:
        written = write(text)
    return Content(
        month=month,
        fingerprint=fingerprint,
        written=written,
        columns=columns,
        coordinates=rows.coordinates(connection, month),
        schema_revision=rows.schema_revision(connection),
    )


def _removed(url: SecretStr, content: Content, folder: Folder, say: Say) -> Archived:
    month = content.month

    def publish(part: int, manifest: Callable[[int], str]) -> int:
        part = folder.next_part(month, part, content.written)
        folder.publish(month, part, manifest(part))
        return part

    part = remove(url, content, publish, say)
    path = folder.path / file_name(month, part)
    return Archived(month, part, content.fingerprint.rows, path)


def remove(url: SecretStr, content: Content, publish: removal.Publish, say: Say) -> int:
    """Removes the month, and asks again for a lock that was not to be had. Returns the part."""
    say(f"{content.month}: taking {content.fingerprint.rows:,} events out of the log")
    with database.connect(url, APPLICATION) as connection:
        for left in reversed(range(ATTEMPTS)):
            try:
                return removal.remove(connection, content, publish)
            except ChangedError:
                raise
            except (UnavailableError, RaceError) as error:
                if connection.closed or not left:
                    raise UnavailableError(
                        f"{content.month} is not taken out of the log ({error}): run `delivery "
                        "archive` again"
                    ) from error
                say(f"{content.month}: a query or a worker is in the way, trying again")
    raise AssertionError
