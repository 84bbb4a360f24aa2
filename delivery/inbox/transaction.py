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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from delivery.domain.decide import Decision, decide
from delivery.domain.event import Contract, OrderCreated, Rejection, decode
from delivery.domain.record import Record
from delivery.errors import DeadLetterRefusedError, RaceError, RefusedError
from delivery.inbox import archived, dead_letters
from delivery.inbox.dead_letters import Letter, Resolver
from delivery.inbox.rejection_limit import Rejected, RejectionLimit
from delivery.inbox.statements import Statements
from delivery.postgres.database import Connection, transaction

Outcomes = Counter[str]  # how many records had which; also `redelivered`
Arrival = tuple[Record, OrderCreated | Rejection]

# Records in a transaction, at most, where the database refuses rows. Finding them takes some
# milliseconds for each, and a transaction must not outlive its worker's right to the partitions.
PORTION = 100

# Whoever commits first settles a race, so that each attempt finds more of the others' work done. So
# often as a batch, and then as often again for each portion.
ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What a committed transaction did: with its records, and which of them became dead letters.

    `races` is how often it was rolled back before, because somebody else wrote in between.
    """

    outcomes: Outcomes
    rejected: Sequence[Rejected]
    races: int = 0


# What is to be announced of a decision at that time, written down in its transaction.
Outbox = Callable[[Statements, Decision, datetime], None]


def no_outbox(_statements: Statements, _decision: Decision, _consumed_at: datetime) -> None:
    """Writes nothing down: nothing is announced."""


def process(
    connection: Connection,
    contract: Contract,
    records: Sequence[Record],
    outbox: Outbox = no_outbox,
    resolver: Resolver = dead_letters.WORKER,
) -> Outcomes:
    """Decodes the records and accounts for each, without a limit of rejections: see `Inbox`."""
    inbox = Inbox(connection, outbox=outbox, resolver=resolver)
    results = inbox.process(decoded(contract, records))
    return sum((result.outcomes for result in results), Counter())


def decoded(contract: Contract, records: Sequence[Record]) -> list[Arrival]:
    """Each record with the event that it holds, or with why it holds none. Pure."""
    return [(record, decode(contract, record.value, record.time)) for record in records]


def do_nothing() -> None:
    """What there is to do while we wait, where nobody said what."""


@dataclass(frozen=True, slots=True)
class Inbox:
    """Accounts for batches of records on one connection.

    `on_wait` is called each time that we would only wait for PostgreSQL; it must not raise.
    `resolver` resolves the dead letters whose records are accepted now.
    """

    connection: Connection
    limit: RejectionLimit = field(default_factory=RejectionLimit)
    on_wait: Callable[[], None] = do_nothing
    outbox: Outbox = no_outbox
    resolver: Resolver = dead_letters.WORKER

    def process(self, batch: Sequence[Arrival]) -> Iterator[BatchResult]:
        """Accounts for each record of `batch`, in their order, in one transaction.

        A result that is yielded is committed; after the last one the offsets may be. There is one,
        but where the database refuses a row, or others write the same orders all the time, as an
        import may: then one for each `PORTION` of the batch.

        Raises UnavailableError (try again later), FloodError, NotMigratedError, ForbiddenError,
        DeadLetterRefusedError, RaceError after too many attempts, or a bug's error. What was not
        yielded is not written then; the inbox will recognise the records of what was.
        """
        try:
            result = self._transact(batch, self._attempt)
        except (RefusedError, RaceError):
            for first in range(0, len(batch), PORTION):
                yield self._transact(batch[first : first + PORTION], self._attempt_by_halves)
        else:
            yield result

    def _transact(
        self,
        batch: Sequence[Arrival],
        attempt: Callable[[Sequence[Arrival]], BatchResult],
    ) -> BatchResult:
        """The attempt's rows in one transaction, tried again after each race."""
        race = RaceError()
        for races in range(ATTEMPTS):
            try:
                with transaction(self.connection):
                    result = attempt(batch)
                    streaks = self.limit.checked([record for record, _ in batch], result.rejected)
            except RaceError as error:
                race = error
            else:
                self.limit.streaks = streaks  # not before the commit: else a retry counts twice
                return BatchResult(result.outcomes, result.rejected, races)
        raise RaceError(
            f"the batch from {batch[0][0]} on was decided {ATTEMPTS} times, and each time somebody "
            f"wrote in between ({race}): run `delivery verify`"
        )

    def _attempt(self, batch: Sequence[Arrival]) -> BatchResult:
        """Read, decide, write. Runs inside a transaction and commits nothing."""
        letters = dead_letters.at(self.connection, [record for record, _ in batch])
        events = [(record, event) for record, event in batch if isinstance(event, OrderCreated)]
        rejected = [(record, event) for record, event in batch if isinstance(event, Rejection)]
        if letters:
            events = [(r, e) for r, e in events if not _is_discarded(letters.get(r.coordinates))]
            rejected = [
                (r, why) for r, why in rejected if _is_news(letters.get(r.coordinates), why)
            ]
        statements = Statements(self.connection, self.on_wait)
        state = statements.read([event for _, event in events])
        if state.has_archive:
            events = archived.without_accounted(self.connection, state, events)
        consumed_at = statements.read_clock()
        decision = decide(state, events)
        conflicts = statements.write(decision, consumed_at)
        self.outbox(statements, decision, consumed_at)
        dead_letters.insert(self.connection, rejected, letters, consumed_at)
        replayed = [letters[r.coordinates] for r, _ in events if r.coordinates in letters]
        open_ids = [letter.dead_letter_id for letter in replayed if letter.resolution is None]
        dead_letters.resolve(self.connection, open_ids, "replayed", self.resolver)
        return BatchResult(_outcomes(decision, conflicts, len(rejected), len(batch)), rejected)

    def _attempt_by_halves(self, batch: Sequence[Arrival]) -> BatchResult:
        """As `_attempt`, where the database refuses some rows: each becomes a dead letter.

        Halves are tried in order of arrival, each in a savepoint, so that the neighbours of a
        refused row have the outcomes they would have without it.
        """
        try:
            with transaction(self.connection):
                return self._attempt(batch)
        except RefusedError as error:
            if len(batch) == 1:
                return self._attempt_as_letter(batch[0], error)
        middle = len(batch) // 2
        first = self._attempt_by_halves(batch[:middle])
        second = self._attempt_by_halves(batch[middle:])
        return BatchResult(first.outcomes + second.outcomes, [*first.rejected, *second.rejected])

    def _attempt_as_letter(self, arrival: Arrival, refusal: RefusedError) -> BatchResult:
        """The record whose row is refused, as a dead letter; unless that was the refused row."""
        record, event = arrival
        if isinstance(event, Rejection):
            raise DeadLetterRefusedError(_beyond_repair(record, refusal)) from refusal
        why = Rejection("refused_by_database", str(refusal), event.order_id)
        try:
            with transaction(self.connection):
                return self._attempt([(record, why)])
        except RefusedError as error:
            raise DeadLetterRefusedError(_beyond_repair(record, error)) from error


def _is_discarded(letter: Letter | None) -> bool:
    """Somebody decided that this record is not to be processed."""
    return letter is not None and letter.resolution == "discarded"


def _is_news(letter: Letter | None, rejection: Rejection) -> bool:
    return letter is None or not letter.says(rejection)


def _beyond_repair(record: Record, refusal: RefusedError) -> str:
    return (
        f"record {record}: the database refuses its dead letter too ({refusal}): mend the "
        "constraint, trigger or sequence of dead_letters; Kafka keeps the record"
    )


def _outcomes(
    decision: Decision, conflicts: Sequence[bool], rejected: int, records: int
) -> Outcomes:
    outcomes: Outcomes = Counter(outcome for _, _, outcome in decision.entries)
    outcomes.update("conflict" if differs else "duplicate" for differs in conflicts)
    outcomes["rejected"] = rejected
    outcomes["redelivered"] = records - outcomes.total()
    return outcomes
