"""A month leaves the log, in one transaction, once its file is known to hold it."""

from collections.abc import Callable

import psycopg
from psycopg import sql

from delivery.archive import rows
from delivery.archive.manifest import Content, file_name, to_json
from delivery.archive.rows import Partition
from delivery.domain.month import Month
from delivery.errors import RaceError, SettingsError
from delivery.postgres.database import Connection, transaction

# Gives the file its name as this part or a later one, and returns the part: the manifest is made of
# the part.
Publish = Callable[[int, Callable[[int], str]], int]

# Whoever waits for the whole log makes workers and readers wait behind it: a second at most.
_BEGIN = """
SELECT pg_advisory_xact_lock(hashtext('delivery.archive')),
       set_config('lock_timeout', '1s', true),
       set_config('enable_hashagg', 'off', true)  -- would keep all offsets in memory
"""

_NEXT_PART = "SELECT coalesce(max(part), 0) + 1 FROM archived_months WHERE month = %s"

_WHO_AND_WHEN = "SELECT session_user, now()"

_NOTE_MONTH = """
INSERT INTO archived_months (month, part, rows, first_consumed_at, last_consumed_at, file_name,
                             sha256, manifest, archived_by, archived_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""

_NOTE_OFFSETS = """
INSERT INTO archived_offsets (record_topic, record_partition, record_topic_id, block, month, part,
                              offsets)
SELECT record_topic, record_partition, record_topic_id, record_offset >> 16, {first}, {part},
       range_agg(int8range(record_offset, record_offset + 1))
FROM processed_events WHERE {of_month}
GROUP BY 1, 2, 3, 4
"""

# One by one, as Citus sends its nodes all that comes with a change of a table.
_DROP = (
    "LOCK TABLE ONLY processed_events IN ACCESS EXCLUSIVE MODE",
    "ALTER TABLE processed_events DETACH PARTITION {partition}",
    "DROP TABLE {partition}",
)

# The rows of other months stay. The trigger is off for this transaction alone: nobody else can
# write to the partition until its end, and only the owner can switch it off.
_DELETE = (
    "ALTER TABLE {partition} DISABLE TRIGGER refuse_change",
    "DELETE FROM {partition} WHERE {of_month}",
    "ALTER TABLE {partition} ENABLE TRIGGER refuse_change",
)


class ChangedError(RaceError):
    """The log holds other rows of the month than the file."""


def remove(connection: Connection, content: Content, publish: Publish) -> int:
    """Takes the month's rows out of the log, and returns which part of the month they are.

    Nobody may write to the month's partition meanwhile, and everybody may read until the last step.
    Raises ChangedError where an event came late, or a row was erased, since the month was written.
    """
    with transaction(connection):
        connection.execute(_BEGIN)
        partitions = _locked(connection, content.month)
        if rows.fingerprint(connection, content.month) != content.fingerprint:
            raise ChangedError(f"events of {content.month} arrived, or were erased, meanwhile")
        part = _note(connection, content, publish)
        for partition in partitions:
            _take_out(connection, content.month, partition)
    return part


def _locked(connection: Connection, month: Month) -> list[Partition]:
    """The partitions that may hold rows of the month, from now on without a writer."""
    found = rows.partitions(connection)
    own = [partition for partition in found if partition.month == month]
    partitions = own or [partition for partition in found if partition.month is None]
    for partition in partitions:
        query = sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(partition.name)
        connection.execute(query)
    return partitions


def _note(connection: Connection, content: Content, publish: Publish) -> int:
    month, fingerprint = content.month, content.fingerprint
    ((part,),) = connection.execute(_NEXT_PART, (month.first.date(),))
    ((who, when),) = connection.execute(_WHO_AND_WHEN)

    def manifest(part: int) -> str:
        return to_json(content, part, who, when)

    part = publish(part, manifest)
    noted = (
        month.first.date(),
        part,
        fingerprint.rows,
        fingerprint.first_consumed_at,
        fingerprint.last_consumed_at,
        file_name(month, part),
        content.written.file.sha256,
        manifest(part),
        who,
        when,
    )
    connection.execute(_NOTE_MONTH, noted)
    first = month.first.date()
    connection.execute(rows.of_month(_NOTE_OFFSETS, month, first=first, part=part))
    return part


def _take_out(connection: Connection, month: Month, partition: Partition) -> None:
    try:
        for query in _DROP if partition.month == month else _DELETE:
            connection.execute(rows.of_month(query, month, partition=partition.name))
    except psycopg.errors.DependentObjectsStillExist as error:
        raise SettingsError(
            f"something that is not ours depends on the partition of {month}: "
            f"{error.diag.message_detail}"
        ) from error
