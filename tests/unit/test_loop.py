"""The worker's loop, on a consumer without a Kafka and an inbox without a database."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import pytest
from fake_consumer import FakeConsumer

from delivery.domain.event import Contract
from delivery.domain.record import Record
from delivery.errors import FloodError, UnavailableError
from delivery.inbox import log_end
from delivery.inbox.transaction import Arrival, BatchResult
from delivery.worker import loop
from delivery.worker.loop import Worker
from delivery.worker.shutdown import StopFlag

VALUE = b'{"event": {"orderId": 7}, "createdAt": "2026-11-01T01:00:00Z"}'
TO_THE_END = {"the end": 0}


def records(count: int) -> list[Record]:
    return [Record("orders", 0, offset, None, None, VALUE, []) for offset in range(count)]


@dataclass
class FakeInbox:
    """Accounts for records by their offsets. `before` is called with each batch, and may raise."""

    consumer: FakeConsumer
    known: set[int] = field(default_factory=set)
    before: Callable[[list[int]], None] = lambda _: None
    portion: int = 100
    on_wait: Callable[[], None] | None = None

    def __call__(
        self, _connection: object, _limit: object, on_wait: Callable[[], None], _outbox: object
    ) -> object:
        self.on_wait = on_wait
        return self

    def process(self, batch: Sequence[Arrival]) -> Iterator[BatchResult]:
        offsets = [record.offset for record, _ in batch]
        for first in range(0, len(offsets), self.portion):
            portion = offsets[first : first + self.portion]
            self.before(portion)
            assert self.on_wait is not None
            self.on_wait()
            assert self.known.issuperset(range(self.consumer.committed)), "committed too early"
            outcomes = Counter("redelivered" if n in self.known else "created" for n in portion)
            self.known.update(portion)
            yield BatchResult(outcomes, [])


@dataclass
class FakeDatabase:
    """A session that is never there, or always."""

    dropped: int = 0
    is_open: bool = True

    def connection(self) -> object:
        return self

    def drop(self) -> None:
        self.dropped += 1

    def drop_if_ended(self) -> None:
        """It never ends."""

    def transaction(self) -> AbstractContextManager[None]:
        return nullcontext()

    def execute(self, _statement: str) -> None:
        """Makes the partitions."""


@pytest.fixture
def consumer() -> FakeConsumer:
    return FakeConsumer(records(7))


@pytest.fixture
def inbox(consumer: FakeConsumer, monkeypatch: pytest.MonkeyPatch) -> FakeInbox:
    fake = FakeInbox(consumer)
    monkeypatch.setattr(loop, "Inbox", fake)
    monkeypatch.setattr(loop, "FIRST_DELAY_S", 0.0)
    monkeypatch.setattr(log_end, "missing_from", lambda _connection, _claims: {})
    return fake


@pytest.fixture
def worker(consumer: FakeConsumer, inbox: FakeInbox) -> Worker:
    return Worker(consumer, FakeDatabase(), Contract())  # type: ignore[arg-type]


def test_offsets_are_committed_behind_each_batch_and_waited_for_at_the_end(
    consumer: FakeConsumer, worker: Worker
) -> None:
    assert worker.run(StopFlag(), TO_THE_END) == {"created": 7}
    assert (consumer.committed, consumer.waits) == (7, 1)


def test_the_batch_in_hand_is_finished_when_it_is_asked_to_stop(
    consumer: FakeConsumer, inbox: FakeInbox, worker: Worker
) -> None:
    stop = StopFlag()

    def ask(offsets: list[int]) -> None:
        stop.requested = offsets[0] == 2

    inbox.before = ask
    assert worker.run(stop) == {"created": 4}
    assert consumer.committed == 4


def test_a_commit_that_kafka_refuses_stops_nothing_and_the_next_one_makes_up_for_it(
    consumer: FakeConsumer, inbox: FakeInbox, worker: Worker
) -> None:
    def refuse_the_second(offsets: list[int]) -> None:
        consumer.is_refused = offsets[0] == 2

    inbox.before = refuse_the_second
    assert worker.run(StopFlag(), TO_THE_END) == {"created": 7}
    assert consumer.committed == 7


def test_what_a_rebalance_in_mid_batch_redelivers_is_recognised(
    consumer: FakeConsumer, inbox: FakeInbox, worker: Worker
) -> None:
    def rebalance(offsets: list[int]) -> None:
        consumer.is_member = offsets[0] != 2 or 2 in inbox.known

    inbox.before = rebalance
    assert worker.run(StopFlag(), TO_THE_END) == {"created": 7, "redelivered": 2}
    assert consumer.committed == 7


def test_a_worker_that_was_away_for_a_session_goes_on_at_its_successors_offset(
    consumer: FakeConsumer, inbox: FakeInbox, worker: Worker
) -> None:
    def be_away(offsets: list[int]) -> None:
        if offsets[0] == 2:
            consumer.is_member, consumer.committed = False, 6
            inbox.known.update(range(6))

    inbox.before = be_away
    assert worker.run(StopFlag(), TO_THE_END) == {"created": 3, "redelivered": 2}
    assert consumer.committed == 7


def test_records_that_retention_deleted_are_counted_once(
    consumer: FakeConsumer, worker: Worker
) -> None:
    consumer.lost = 12
    assert worker.run(StopFlag(), TO_THE_END) == {"created": 7, "lost_to_retention": 12}


def test_a_database_that_is_away_is_waited_for_and_nothing_is_skipped(
    consumer: FakeConsumer, inbox: FakeInbox, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "FIRST_DELAY_S", 0.001)
    failures = iter([UnavailableError("gone"), UnavailableError("gone"), None, None, None, None])

    def fail(_: list[int]) -> None:
        if failure := next(failures, None):
            raise failure

    inbox.before = fail
    assert worker.run(StopFlag(), TO_THE_END) == {"created": 7}
    assert consumer.committed == 7
    assert consumer.idled >= 2
    assert worker.database.dropped == 2  # type: ignore[attr-defined]


def test_what_was_committed_of_a_batch_is_counted_although_the_rest_fails(
    consumer: FakeConsumer, inbox: FakeInbox, worker: Worker
) -> None:
    consumer.size = 6
    inbox.portion = 2

    def flood(offsets: list[int]) -> None:
        if offsets[0] == 4:
            raise FloodError("too many")

    inbox.before = flood
    with pytest.raises(FloodError):
        worker.run(StopFlag(), TO_THE_END)
    assert worker.totals == {"created": 4}
    assert consumer.committed == 0


def test_an_error_of_the_poll_ahead_is_raised_behind_the_batch_in_hand(
    consumer: FakeConsumer, inbox: FakeInbox, worker: Worker
) -> None:
    def break_kafka(offsets: list[int]) -> None:
        if offsets[0] == 2:
            consumer.failure = RuntimeError("a broken record batch")

    inbox.before = break_kafka
    with pytest.raises(RuntimeError, match="a broken record batch"):
        worker.run(StopFlag(), TO_THE_END)
    assert (worker.totals, consumer.committed) == ({"created": 4}, 4)
