"""What is polled and decoded ahead, and when nothing is."""

import pytest
from fake_consumer import FakeConsumer

from delivery.domain.event import Contract, OrderCreated
from delivery.domain.record import Record
from delivery.inbox.transaction import Arrival
from delivery.worker.prefetch import Prefetch

VALUE = b'{"event": {"orderId": 7}, "createdAt": "2026-11-01T01:00:00Z"}'


def topic(count: int, size: int = 2) -> FakeConsumer:
    records = [Record("orders", 0, offset, None, None, VALUE, []) for offset in range(count)]
    return FakeConsumer(records, size)


def ahead_of(consumer: FakeConsumer) -> Prefetch:
    """A prefetch whose first batch is in hand."""
    ahead = Prefetch(consumer, Contract())
    ahead.take()
    return ahead


def offsets(batch: list[Arrival]) -> list[int]:
    assert all(isinstance(event, OrderCreated) for _, event in batch)
    return [record.offset for record, _ in batch]


def test_the_next_batch_is_polled_and_decoded_step_by_step() -> None:
    ahead = ahead_of(topic(4))
    ahead.advance()
    assert [record.offset for record in ahead.polled] == [2, 3]
    ahead.advance()
    assert offsets(ahead.decoded) == [2, 3]
    ahead.advance()  # there is nothing left to do
    assert offsets(ahead.take()) == [2, 3]


def test_what_no_step_was_left_for_is_done_when_it_is_taken() -> None:
    ahead = ahead_of(topic(5))
    ahead.advance()
    assert offsets(ahead.take()) == [2, 3]
    assert offsets(ahead.take()) == [4]


def test_a_large_batch_is_decoded_in_several_steps() -> None:
    ahead = ahead_of(topic(5000, 2500))
    ahead.advance()
    assert [ahead.advance() or len(ahead.decoded) for _ in range(4)] == [700, 1400, 2100, 2500]
    assert offsets(ahead.take()) == list(range(2500, 5000))


def test_where_the_consumer_polls_nothing_ahead_the_batch_is_waited_for() -> None:
    consumer = topic(3)
    ahead = ahead_of(consumer)
    consumer.has_backlog = False
    ahead.advance()
    assert ahead.polled == []
    assert offsets(ahead.take()) == [2]


def test_an_error_does_not_reach_the_batch_in_hand_but_the_one_who_takes_the_next() -> None:
    consumer = topic(4)
    ahead = ahead_of(consumer)
    consumer.failure = RuntimeError("a broken record batch")
    ahead.advance()
    with pytest.raises(RuntimeError, match="a broken record batch"):
        ahead.take()


def test_a_batch_that_is_forgotten_is_polled_again() -> None:
    consumer = topic(4)
    ahead = ahead_of(consumer)
    ahead.advance()
    consumer.rewind(ahead.polled)
    ahead.forget()
    assert offsets(ahead.take()) == [2, 3]
