"""`delivery import`"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from delivery import interrupt, settings
from delivery.cli import event_file, live_line, output
from delivery.domain.event import Contract
from delivery.domain.imported import topic_of
from delivery.errors import ForbiddenError, RaceError, UnavailableError
from delivery.postgres import database
from delivery.postgres.session import of_worker
from delivery.takeover import baseline, redis_keys
from delivery.takeover.baseline import Known, Line
from delivery.takeover.transaction import LINES, Import, TakenOver

NO = 1  # exit code
LONGEST = timedelta(seconds=45)  # that a transaction may last
USE = event_file.Use("delivery import -", "an order")

_Tell = Callable[[str], None]


def import_(
    file: Annotated[
        typer.FileBinaryRead | None,
        typer.Argument(metavar="[FILE]", help="JSON lines; `-` is standard input."),
    ] = None,
    redis: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The keys event:order:ID of this Redis, without a FILE."),
    ] = None,
) -> None:
    """Take over what the service before knew of orders.

    Each line is an order, the time of its last event, and what its delivery is
    as far as it is known: order_id and event_time, and product_id, quantity,
    ordered_by, supply_company_id, consume_company_id, request_message,
    delivery_limited_at and status. A time without an offset is local time in
    DELIVERY_EVENT_TIMEZONE. A worker's role may import what is pending; another
    status is imported as the tables' owner.

    Afterwards a redelivery of that event is a duplicate, and an older one is
    stale. What was imported is in the log as import:NAME/RUN/LINE, and is never
    announced. The order of the lines makes no difference: the newest of an
    order gives the delivery its fields, and the furthest its status.

    What the log knows already is not written again: run it as often as you
    like, also beside workers. A line that can't be read, or contradicts what is
    known, is told and left out, and the exit code is then 1:
    - another value than the log has of that event: kept as a conflict;
    - a newer line without fields, where the delivery has some: import a file
      that has the fields before Redis, which has none;
    - delivered of a delivery that is cancelled, or the other way round;
    - a time further ahead of the clock than DELIVERY_MAX_FUTURE_SKEW;
    - a row that the database refuses.

    \b
    Examples:
      delivery import baseline.jsonl
      zcat baseline.jsonl.gz | delivery import -
      delivery import --redis redis://cache:6379/0
    """
    if (file is None) == (redis is None):
        raise typer.BadParameter("give either a FILE or --redis URL")
    how = settings.load(settings.WorkerSettings)
    contract = Contract(how.event_timezone, how.max_future_skew)
    if redis is not None:
        with redis_keys.connected(redis) as client:
            found = redis_keys.lines(client, contract.zone)
            _run(redis_keys.name_of(redis), found, contract, _Outcome("key"))
    elif file is not None:
        texts = event_file.lines(file, file.name, USE)
        found = baseline.lines(texts, contract.zone)
        _run(Path(file.name).name, found, contract, _Outcome("line", file))


@dataclass
class _Outcome:
    """What became of the lines, told in one line at the end."""

    of: str  # what a number is the number of
    file: BinaryIO | None = None
    new: int = 0
    known: int = 0
    left_out: int = 0

    def add(self, done: TakenOver) -> None:
        self.new += done.new
        self.known += done.known
        self.left_out += len(done.left_out)

    def __str__(self) -> str:
        return f"imported: {self.new}, known before: {self.known}, not taken over: {self.left_out}"

    def progress(self) -> str:
        """How far it is, while it runs."""
        size = os.fstat(self.file.fileno()).st_size if self.file else 0  # 0 for a pipe
        share = f"{self.file.tell() / size:.0%}, " if self.file and size else ""
        return f"{share}{self}"


def _run(name: str, found: Iterable[Line], contract: Contract, outcome: _Outcome) -> None:
    try:
        with live_line.shown(outcome.progress) as tell:
            _import(name, found, contract, outcome, tell)
    except (UnavailableError, ForbiddenError, RaceError) as error:
        raise type(error)(f"{error}; {outcome}") from error
    except KeyboardInterrupt:
        output.note(f"interrupted: {outcome}; what is imported stays, so run it again")
        raise
    output.note(str(outcome))
    if outcome.left_out:
        raise typer.Exit(NO)


def _import(
    name: str, found: Iterable[Line], contract: Contract, outcome: _Outcome, tell: _Tell
) -> None:
    url = settings.load(settings.DatabaseSettings).database_url
    with database.connect(url, "delivery import", of_worker(LONGEST)) as connection:
        database.require_migrated(connection)
        running = Import(connection, contract, topic_of(name))
        for portion in _portions(baseline.none_ahead(found, contract, datetime.now(UTC))):
            with interrupt.deferred():
                _take_over(running, portion, outcome, tell)


def _take_over(running: Import, portion: list[Line], outcome: _Outcome, tell: _Tell) -> None:
    for number, line in portion:
        if isinstance(line, str):
            outcome.left_out += 1
            tell(f"{outcome.of} {number}: {line}")
    if readable := [line for _, line in portion if isinstance(line, Known)]:
        for done in running.take_over(readable):
            outcome.add(done)
            for left_out in done.left_out:
                tell(f"{outcome.of} {_told(*left_out)}")


def _portions(found: Iterable[Line]) -> Iterator[list[Line]]:
    rest = iter(found)
    while portion := list(islice(rest, LINES)):
        yield portion


def _told(line: Known, detail: str) -> str:
    event = line.event
    return f"{line.line}: order {event.order_id}, {event.event_time.isoformat()}: {detail}"
