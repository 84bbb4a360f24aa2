"""Several processes compare a log, of which each takes a share: Python compares on one core.

All of them see the database at one moment, for the first one exports its snapshot.
"""

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection as Pipe
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import TYPE_CHECKING

from pydantic import SecretStr

from delivery.domain.event import Contract
from delivery.errors import UnavailableError
from delivery.postgres import database
from delivery.postgres.database import Connection
from delivery.verify import fold, log, shares, streams
from delivery.verify.archive import Archive
from delivery.verify.finding import Finding
from delivery.verify.progress import Progress, counted
from delivery.verify.rows import Entry
from delivery.verify.shares import Allowed, Share

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import SynchronizedArray

REPORTED_ROWS = 10_000  # so often a process tells how far it is
REPORTED_S = 0.2  # so often the first one looks

# A fork would have the first process's connection, and end it for both.
_spawning = get_context("spawn")


@dataclass(frozen=True)
class Task:
    """What a process compares, and where."""

    url: SecretStr
    snapshot: str
    share: Share
    contract: Contract
    archive: Archive


@dataclass(frozen=True)
class Comparing:
    """A process that compares its share. It sends its findings, and then None or its error."""

    process: BaseProcess
    pipe: Pipe
    counts: "SynchronizedArray[int]"  # events and deliveries so far


def tasks(
    connection: Connection, allowed: Allowed | None, contract: Contract, archive: Archive
) -> list[Task]:
    """A task for each share of the log; none where this process compares it alone.

    They see what this `connection` sees, as long as its transaction lasts.
    """
    found = shares.of_log(connection, allowed.number) if allowed else []
    if allowed is None or not found:
        return []
    ((snapshot,),) = connection.execute("SELECT pg_export_snapshot()")
    return [Task(allowed.url, snapshot, share, contract, archive) for share in found]


@contextmanager
def comparing(tasks: Iterable[Task]) -> Iterator[list[Comparing]]:
    """A process for each task. Those that still run at the end are ended."""
    with ExitStack() as ending:
        yield [ending.enter_context(_begun(task)) for task in tasks]


def findings(processes: list[Comparing], progress: Progress) -> Iterator[Finding]:
    """What they find, share after share; `progress` counts what all of them have compared.

    Raises what one of them raised, and UnavailableError where one was killed.
    """
    for one in processes:
        while True:
            waiting = not one.pipe.poll(REPORTED_S)
            progress.events = sum(other.counts[0] for other in processes)
            progress.deliveries = sum(other.counts[1] for other in processes)
            if waiting:
                continue
            if (received := _received(one)) is None:
                break
            yield received


def _received(one: Comparing) -> Finding | None:
    try:
        received: Finding | Exception | None = one.pipe.recv()
    except EOFError:
        one.process.join()
        raise UnavailableError(
            f"a process that compared a part of the log was ended ({one.process.exitcode}); "
            "--processes 1 needs no other, and less memory"
        ) from None
    if isinstance(received, Exception):
        raise received
    return received


@contextmanager
def _begun(task: Task) -> Iterator[Comparing]:
    pipe, its_end = _spawning.Pipe(duplex=False)
    counts = _spawning.Array("q", 2)
    process = _spawning.Process(target=_compare, args=(task, its_end, counts), daemon=True)
    process.start()
    its_end.close()
    try:
        yield Comparing(process, pipe, counts)
    finally:
        process.terminate()
        process.join()
        pipe.close()


def _compare(task: Task, pipe: Pipe, counts: "SynchronizedArray[int]") -> None:
    """What a process does: all that the fold finds in its share."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches all; the first one has words
    Thread(target=_end_with_the_first, daemon=True).start()
    try:
        with database.snapshot(task.url, "delivery verify", task.snapshot) as connection:
            streams.prepare(connection)
            progress = Progress()
            entries = counted(log.entries(connection, None, task.share), progress)
            reported = _reported(entries, progress, counts)
            for finding in fold.against_log(task.contract, reported, task.archive):
                pipe.send(finding)
        pipe.send(None)
    except Exception as error:  # the first process tells it
        pipe.send(error)


def _reported(
    entries: Iterable[Entry], progress: Progress, counts: "SynchronizedArray[int]"
) -> Iterator[Entry]:
    for entry in entries:
        if progress.events % REPORTED_ROWS == 0:
            counts[:] = progress.events, progress.deliveries
        yield entry
    counts[:] = progress.events, progress.deliveries


def _end_with_the_first() -> None:
    """Ends this process with the first one, also where that one was killed."""
    if (first := parent_process()) is not None:
        first.join()
    os._exit(1)
