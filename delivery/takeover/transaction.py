"""A baseline's lines become rows of the log and deliveries, in transactions of many.

What the log knows already is not written again, so that an import can be repeated. Its races are
the worker's own, and are settled in the same way: a worker may run beside an import.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from delivery.domain.decide import Duplicate
from delivery.domain.event import Contract
from delivery.domain.record import Record
from delivery.errors import ForbiddenError, RaceError, RefusedError
from delivery.inbox.statements import Statements
from delivery.inbox.transaction import ATTEMPTS, do_nothing
from delivery.postgres.database import Connection, transaction
from delivery.takeover import statements as own
from delivery.takeover.baseline import Known
from delivery.takeover.verdict import Verdict, decide, rounds, would_empty

LINES = 5000  # in one transaction, at most


@dataclass
class TakenOver:
    """What a committed transaction did: how many lines are new, and how many were known before;
    and which were not taken over, with the reason of each.
    """

    new: int = 0
    known: int = 0
    left_out: list[tuple[Known, str]] = field(default_factory=list)


@dataclass
class Import:
    """One run of an import. `topic` and `run` are the first two of its rows' coordinates.

    The run has no number until it writes its first row.
    """

    connection: Connection
    contract: Contract
    topic: str
    run: int | None = None

    def take_over(self, lines: Sequence[Known]) -> Iterator[TakenOver]:
        """Accounts for the lines in one transaction. A result that is yielded is committed.

        Where the database refuses a row, it is found by halving, and left out. Halves are tried too
        where a worker is at the same orders all the time: it seldom comes between so few lines.
        Raises UnavailableError, ForbiddenError, or RaceError of a single line.
        """
        try:
            result = self._transact(lines)
        except (RefusedError, RaceError) as error:
            if len(lines) == 1:
                if isinstance(error, RaceError):
                    raise
                yield TakenOver(left_out=[(lines[0], f"the database refuses it: {error}")])
                return
            middle = len(lines) // 2
            yield from self.take_over(lines[:middle])
            yield from self.take_over(lines[middle:])
        else:
            yield result

    def _transact(self, lines: Sequence[Known]) -> TakenOver:
        race = RaceError()
        for _ in range(ATTEMPTS):
            try:
                return self._commit(lines)
            except RaceError as error:
                race = error
        raise RaceError(
            f"the lines from {lines[0].line} on were decided {ATTEMPTS} times, and each time "
            f"somebody wrote in between ({race}): run the import again"
        )

    def _commit(self, lines: Sequence[Known]) -> TakenOver:
        run = self.run
        try:
            with transaction(self.connection):
                return self._attempt(lines)
        except BaseException as error:
            self.run = run  # the rows that took a number are not there
            if isinstance(error, ForbiddenError) and any(x.status != "pending" for x in lines):
                detail = f"{error}; only the tables' owner may import a status other than pending"
                raise ForbiddenError(detail) from error
            raise

    def _attempt(self, lines: Sequence[Known]) -> TakenOver:
        """Each order once in a round: the next one sees what this one wrote, so that it makes no
        difference where one transaction ends and the next begins.
        """
        result = TakenOver()
        for some in rounds(lines):
            verdict = self._round(some)
            result.new += len(verdict.entries)
            result.known += len(some) - len(verdict.entries) - len(verdict.contradictions)
            result.left_out += verdict.contradictions
        result.left_out.sort()
        return result

    def _round(self, lines: Sequence[Known]) -> Verdict:
        """Read, decide, write."""
        statements = Statements(self.connection, do_nothing)
        state = statements.read([line.event for line in lines])
        with_fields = own.with_fields(self.connection, would_empty(state, lines))
        consumed_at = statements.read_clock()
        verdict = decide(self.contract, state, with_fields, lines)
        self._write_log(statements, verdict, consumed_at)
        self._write_deliveries(statements, verdict)
        return verdict

    def _write_log(self, statements: Statements, verdict: Verdict, consumed_at: datetime) -> None:
        entries = [(self._record(line), line.event, outcome) for line, outcome in verdict.entries]
        statements.insert_entries(entries, consumed_at)
        conflicts = [
            Duplicate(self._record(line), line.event, payload_differs=True)
            for line in own.news_of(self.connection, verdict.conflicts)
        ]
        statements.insert_duplicates(conflicts, consumed_at)

    def _write_deliveries(self, statements: Statements, verdict: Verdict) -> None:
        own.insert_deliveries(statements, verdict.created)
        own.update_deliveries(self.connection, verdict.changed)
        own.move(self.connection, verdict.moved)

    def _record(self, line: Known) -> Record:
        if self.run is None:
            self.run = own.next_run(self.connection, self.topic)
        return Record(self.topic, self.run, line.line, None, None, line.event.payload, ())
