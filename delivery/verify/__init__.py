"""Proves a database against the guarantee, and against the topic where Kafka is at hand."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from uuid import UUID

from delivery.domain.event import Contract
from delivery.domain.record import UNKNOWN_TOPIC_ID, Partition
from delivery.postgres.database import Connection
from delivery.postgres.sqlstate import translated_errors
from delivery.verify import (
    announcements,
    archive,
    coordinates,
    erasures,
    fold,
    log,
    occupied,
    payload,
    processes,
    streams,
)
from delivery.verify.finding import Finding
from delivery.verify.processes import Task
from delivery.verify.progress import Progress, counted
from delivery.verify.shares import Allowed

__all__ = ["Allowed", "Finding", "Progress", "Records", "findings"]

# The offsets of a partition, from one to the one before another, where a record is there to read.
Records = Callable[[str, int, int, int], Iterable[int]]


def findings(
    connection: Connection,
    contract: Contract,
    committed: Mapping[Partition, int],
    records: Records,
    progress: Progress,
    since: datetime | None = None,
    topic_id: UUID = UNKNOWN_TOPIC_ID,
    allowed: Allowed | None = None,
) -> Iterator[Finding]:
    """Every contradiction, one after the other; none means that the guarantee was kept.

    Runs in the caller's transaction, which has to see one moment: see `database.snapshot`. The
    `committed` offsets must have been read before it began: then a worker that runs meanwhile
    makes no finding. Where a gap lies below them, `records` is asked. Memory is bounded.
    `topic_id` is the id of the topic that they are committed in: rows of another one that had the
    name before are no rows of these partitions. After a takeover a partition is checked from its
    first record in the logs on. With `since`, only what arrived since then is
    checked: `delivery verify --help` says what that proves. A large log is compared by as many
    processes as are `allowed`, this one alone where that is None. Raises UnavailableError.
    """
    with translated_errors():
        streams.prepare(connection)
        progress.archive = archive.read(connection)
        progress.doing = "comparing the log with the deliveries"
        tasks = [] if since else processes.tasks(connection, allowed, contract, progress.archive)
        yield from _of_log(connection, contract, progress, since, tasks)
        progress.doing = "comparing the duplicates with the log"
        progress.duplicates, progress.dead_letters = log.counts(connection, since)
        for row in log.duplicates(connection, since):
            if (finding := payload.duplicate(contract, row)) is not None:
                yield finding
        progress.doing = "comparing what was erased with who erased it"
        yield from erasures.findings(connection, since)
        progress.doing = "comparing the announcements with the log"
        yield from announcements.findings(connection, since)
        progress.doing = "comparing the coordinates of all records"
        yield from _of_coordinates(connection, committed, records, progress, since, topic_id)


def _of_log(
    connection: Connection,
    contract: Contract,
    progress: Progress,
    since: datetime | None,
    tasks: list[Task],
) -> Iterator[Finding]:
    if tasks:
        with processes.comparing(tasks) as comparing:
            yield from processes.findings(comparing, progress)
    else:
        entries = counted(log.entries(connection, since), progress)
        yield from fold.against_log(contract, entries, progress.archive)
    # All deliveries of orders in the log were counted. If there are no more, none is to be found.
    if since is None and log.deliveries(connection) > progress.deliveries:
        yield from _extra_deliveries(connection, progress)


def _of_coordinates(
    connection: Connection,
    committed: Mapping[Partition, int],
    records: Records,
    progress: Progress,
    since: datetime | None,
    topic_id: UUID,
) -> Iterator[Finding]:
    is_taken_over = occupied.begins_with_a_takeover(connection, committed)
    if since is None:
        starts, rows = {}, occupied.everywhere(connection, topic_id)
    else:
        starts = occupied.starts(connection, committed, since)
        rows = occupied.behind(connection, starts, topic_id)
    ends = {(*partition, topic_id): end for partition, end in committed.items()}
    begins = {(*partition, topic_id): start for partition, start in starts.items()}
    for found in coordinates.account(rows, ends, begins, is_taken_over):
        if isinstance(found, Finding):
            yield found
            continue
        if isinstance(found, coordinates.Before):
            progress.offsets_before_takeover += found.offsets
            continue
        progress.doing = "looking into the topic"
        progress.offsets_in_no_log += found.end - found.start
        for offset in records(*found):
            yield coordinates.unaccounted(found.topic, found.partition, offset)


def _extra_deliveries(connection: Connection, progress: Progress) -> Iterator[Finding]:
    for order_id, event_time in log.unlogged_deliveries(connection):
        progress.deliveries += 1
        yield fold.extra_delivery(order_id, event_time, "the log has no event of this order")


_CONSUMED = """
SELECT EXISTS (SELECT 1 FROM processed_events WHERE record_topic NOT LIKE 'import:%')
    OR EXISTS (SELECT 1 FROM duplicate_events WHERE record_topic NOT LIKE 'import:%')
    OR EXISTS (SELECT 1 FROM dead_letters WHERE record_topic NOT LIKE 'import:%')
"""


def is_anything_consumed(connection: Connection) -> bool:
    """Whether the logs hold a record of a topic, and not only what was imported."""
    ((found,),) = connection.execute(_CONSUMED)
    return bool(found)
