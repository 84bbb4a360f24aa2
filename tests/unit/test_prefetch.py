"""What is polled and decoded ahead, and when nothing is."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.consumer.fetcher import ConsumerRecord

from delivery.domain.event import Contract, OrderCreated
from delivery.inbox.transaction import Arrival
from delivery.worker.prefetch import Prefetch

TOPIC = TopicPartition("orders", 0)
BATCH_SIZE = 2
RECEIVED = 1_793_500_800_000  # milliseconds: 2026-11-01T02:40Z
VALUE = b'{"event": {"orderId": 7}, "createdAt": "2026-11-01T01:00:00Z"}'


@dataclass
class Topic:
    """A consumer of one partition: each poll answers with the next of `polls`."""

    polls: list[int | Exception]  # how many records, or what is raised
    is_rejoin_due: bool = False
    offset: int = 0
    timeouts: list[int] = field(default_factory=list)  # milliseconds
    config: dict[str, int] = field(default_factory=lambda: {"max_poll_records": BATCH_SIZE})

    @property
    def _coordinator(self) -> "Topic":
        return self

    def need_rejoin(self) -> bool:
        return self.is_rejoin_due

    def rebalance_in_progress(self) -> bool:
        return False

    def poll(self, timeout: int) -> dict[TopicPartition, list[Any]]:
        self.timeouts.append(timeout)
        found = self.polls.pop(0)
        if isinstance(found, Exception):
            raise found
        self.offset += found
        return {TOPIC: [_record(offset) for offset in range(self.offset - found, self.offset)]}


def _record(offset: int) -> ConsumerRecord:
    sizes = -1, len(VALUE), -1
    return ConsumerRecord(*TOPIC, -1, offset, RECEIVED, 0, None, VALUE, [], None, *sizes)


def ahead_of(topic: Topic) -> Prefetch:
    """A prefetch whose first batch is in hand."""
    ahead = Prefetch(topic, Contract())
    ahead.take()
    return ahead


def offsets(batch: list[Arrival]) -> list[int]:
    assert all(isinstance(event, OrderCreated) for _, event in batch)
    return [record.offset for record, _ in batch]


def test_behind_a_full_batch_the_next_one_is_polled_without_waiting_and_decoded() -> None:
    topic = Topic([2, 2])
    ahead = ahead_of(topic)
    ahead.advance()
    assert [record.offset for record in ahead.polled] == [2, 3]
    ahead.advance()
    ahead.advance()  # there is nothing left to do
    assert offsets(ahead.take()) == [2, 3]
    assert topic.timeouts == [1000, 0]


def test_what_no_step_was_left_for_is_done_when_it_is_taken() -> None:
    ahead = ahead_of(Topic([2, 2, 1]))
    ahead.advance()
    assert offsets(ahead.take()) == [2, 3]
    assert offsets(ahead.take()) == [4]


def test_a_large_batch_is_decoded_in_several_steps() -> None:
    topic = Topic([2500, 2500])
    ahead = ahead_of(topic)
    ahead.advance()
    assert [ahead.advance() or len(ahead.arrivals) for _ in range(4)] == [700, 1400, 2100, 2500]
    assert offsets(ahead.take()) == list(range(2500, 5000))


def test_behind_a_batch_that_is_not_full_nothing_is_polled_ahead() -> None:
    topic = Topic([1, 1])
    ahead = ahead_of(topic)
    ahead.advance()
    assert ahead.polled == []
    assert offsets(ahead.take()) == [1]
    assert topic.timeouts == [1000, 1000]


def test_nothing_is_polled_ahead_where_the_poll_would_join_the_group_anew() -> None:
    topic = Topic([2, 2])
    ahead = ahead_of(topic)
    topic.is_rejoin_due = True
    ahead.advance()
    assert ahead.polled == []
    assert topic.timeouts == [1000]


def test_an_error_does_not_reach_the_batch_in_hand_but_the_one_who_takes_the_next() -> None:
    ahead = ahead_of(Topic([2, RuntimeError("a broken record batch")]))
    ahead.advance()
    with pytest.raises(RuntimeError, match="a broken record batch"):
        ahead.take()


def test_a_batch_that_is_forgotten_is_polled_again() -> None:
    topic = Topic([2, 2, 2])
    ahead = ahead_of(topic)
    ahead.advance()
    ahead.advance()
    ahead.forget()
    topic.offset = 0  # rewound
    assert offsets(ahead.take()) == [0, 1]
