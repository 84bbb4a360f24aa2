"""The transaction: a batch of records becomes rows of the inbox, deliveries and the other logs.

Why the guarantee holds, whoever writes beside us:

- A key twice: the primary key of `processed_events` refuses the second, at its insert.
- A second delivery of an order: the primary key of `deliveries` refuses it.
- An update from a stale read: `UPDATE` compares `event_time` with the one read and `status` with
  pending, and the count of changed rows tells.

Each of them rolls the whole transaction back, and the batch is decided again from fresh state. The
other outcomes can't become wrong in between: a key stays in the inbox, and a delivery's
`event_time` only grows. So nothing is locked, and no lock is needed.
"""

from collections import Counter
from collections.abc import Callable, Sequence

from delivery.domain.decide import Decision, decide
from delivery.domain.event import Contract, OrderCreated, Rejection, decode
from delivery.domain.record import Record
from delivery.errors import RaceError, RefusedError
from delivery.inbox import dead_letters, statements
from delivery.inbox.dead_letters import Letter
from delivery.inbox.rejection_limit import Flood, Rejected
from delivery.postgres.database import Connection, transaction

Tally = Counter[str]  # outcomes of a batch; also `duplicate`, `conflict`, `rejected`, `redelivered`
Arrival = tuple[Record, OrderCreated | Rejection]
Settled = tuple[Tally, list[Rejected]]  # what became of the records, and the new dead letters

# Records in a transaction, at most, where the database refuses rows. Finding them takes some
# milliseconds for each, and a transaction must not outlive its worker's right to the partitions.
FEW = 100

# Whoever commits first settles a race, so that each attempt finds more of the others' work done.
ATTEMPTS = 20


def process(connection: Connection, contract: Contract, batch: Sequence[Record]) -> Tally:
    """Decodes and settles the records of `batch`: see `settle`."""
    return settle(connection, decoded(contract, batch))


def decoded(contract: Contract, batch: Sequence[Record]) -> list[Arrival]:
    """Each record with the event that it holds, or with why it holds none. Pure."""
    return [(record, decode(contract, record.value, record.time)) for record in batch]


def _nothing() -> None:
    """What there is to do where nobody said what."""


def settle(
    connection: Connection,
    arrivals: Sequence[Arrival],
    flood: Flood | None = None,
    on_race: Callable[[], None] = _nothing,
    meanwhile: Callable[[], None] = _nothing,
) -> Tally:
    """Accounts for each of `arrivals`, in their order, in one transaction.

    When this returns, the transaction is committed, and the offsets may be. When it raises,
    nothing is written: UnavailableError (try again later), FloodError, NotMigratedError,
    ForbiddenError, RaceError after too many attempts, or a bug's error. Only where the database
    refuses a row are there several transactions, of which the first may be committed then: the
    inbox will recognise their records.

    `on_race` is called each time the batch is to be decided again, `meanwhile` each time that we
    would only wait for PostgreSQL; it must not raise.
    """
    flood = flood or Flood()
    attempt = _attempt
    for _ in range(ATTEMPTS):
        try:
            with transaction(connection):
                tally, rejected = attempt(connection, arrivals, meanwhile)
                row = flood.checked((record for record, _ in arrivals), rejected)
            flood.row = row
            return tally
        except RaceError as error:
            race = error
            on_race()
        except RefusedError:
            if len(arrivals) > FEW:
                return _settle_few_by_few(connection, arrivals, flood, on_race, meanwhile)
            attempt = _attempt_by_halves
    raise RaceError(
        f"the batch from {'/'.join(map(str, arrivals[0][0].place))} on was decided {ATTEMPTS} "
        f"times, and each time somebody wrote in between ({race}): run `delivery verify`"
    )


def _settle_few_by_few(
    connection: Connection,
    arrivals: Sequence[Arrival],
    flood: Flood,
    on_race: Callable[[], None],
    meanwhile: Callable[[], None],
) -> Tally:
    """As `settle`, in several transactions. Where one fails, those before it stay committed."""
    tally: Tally = Counter()
    for first in range(0, len(arrivals), FEW):
        few = arrivals[first : first + FEW]
        tally += settle(connection, few, flood, on_race, meanwhile)
    return tally


def _attempt(
    connection: Connection, arrivals: Sequence[Arrival], meanwhile: Callable[[], None]
) -> Settled:
    """Read, decide, write. Runs inside a transaction and commits nothing."""
    letters = dead_letters.at(connection, [record for record, _ in arrivals])
    events = [(record, event) for record, event in arrivals if isinstance(event, OrderCreated)]
    rejected = [(record, no) for record, no in arrivals if isinstance(no, Rejection)]
    if letters:
        events = [(r, e) for r, e in events if not _is_discarded(letters.get(r.place))]
        rejected = [(r, no) for r, no in rejected if not _is_said(letters.get(r.place), no)]
    state = statements.read(connection, [event for _, event in events], meanwhile)
    consumed_at = statements.moment(connection)
    decision = decide(state, events)
    conflicts = statements.write(connection, decision, consumed_at, meanwhile)
    dead_letters.insert(connection, rejected, consumed_at)
    if letters:
        replayed = [record.place for record, _ in events if _is_open(letters.get(record.place))]
        dead_letters.resolve(connection, replayed, "replayed")
    return _tally(decision, conflicts, len(rejected), len(arrivals)), rejected


def _attempt_by_halves(
    connection: Connection, arrivals: Sequence[Arrival], meanwhile: Callable[[], None]
) -> Settled:
    """As `_attempt`, where the database refuses some rows: each becomes a dead letter.

    Halves are tried in order of arrival, each in a savepoint, so that the neighbours of a refused
    row have the outcomes they would have without it.
    """
    try:
        with transaction(connection):
            return _attempt(connection, arrivals, meanwhile)
    except RefusedError as error:
        if len(arrivals) == 1:
            return _attempt(connection, [_refused(arrivals[0], error)], meanwhile)
    middle = len(arrivals) // 2
    tally, rejected = _attempt_by_halves(connection, arrivals[:middle], meanwhile)
    more, also_rejected = _attempt_by_halves(connection, arrivals[middle:], meanwhile)
    return tally + more, rejected + also_rejected


def _is_open(letter: Letter | None) -> bool:
    return letter is not None and letter.resolution is None


def _is_discarded(letter: Letter | None) -> bool:
    """Somebody decided that this record is not to be processed."""
    return letter is not None and letter.resolution == "discarded"


def _is_said(letter: Letter | None, rejection: Rejection) -> bool:
    return letter is not None and letter.says(rejection)


def _refused(arrival: Arrival, error: RefusedError) -> Arrival:
    record, event = arrival
    return record, Rejection("refused_by_database", str(error), event.order_id)


def _tally(decision: Decision, conflicts: list[bool], rejected: int, arrivals: int) -> Tally:
    tally: Tally = Counter(outcome for _, _, outcome in decision.entries)
    tally.update("conflict" if differs else "duplicate" for differs in conflicts)
    tally["rejected"] = rejected
    tally["redelivered"] = arrivals - tally.total()
    return tally
