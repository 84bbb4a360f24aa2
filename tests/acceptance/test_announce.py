"""`delivery announce`: each created delivery is announced once, whatever happens in between."""

import json
import os
import random
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from announced import DOOMED, assert_announced_once, open_rows, orders, records
from kafka import KafkaAdminClient, KafkaConsumer
from processes import Process, wait_until
from service import Service
from stream import Sent, stream

from delivery.announce import outbox
from delivery.domain.event import Contract
from delivery.domain.record import Record, record_time
from delivery.inbox import transaction

Contents = Callable[[], dict[str, list[str]]]


@dataclass(frozen=True)
class Announcing:
    """A service whose deliveries are announced, and the topic that they are announced to."""

    service: Service
    topic: str

    def worker(self, *options: str, **settings: str) -> Process:
        return self.service.worker(*options, announce_topic=self.topic, **settings)

    def drain_worker(self, **settings: str) -> dict[str, int]:
        return self.service.drain(announce_topic=self.topic, **settings)

    def create(self, sent: Sequence[Sent]) -> None:
        """Fills the outbox as a worker would, without starting one."""
        connection = self.service.connection
        written = outbox.of_worker(connection, is_wanted=True)
        records = [
            Record("orders", 0, offset, record_time(one.milliseconds), one.key, one.value, ())
            for offset, one in enumerate(sent)
        ]
        transaction.process(connection, Contract(), records, written)

    def announcer(self, *options: str, **settings: str) -> Process:
        arguments = ("-m", "delivery", "announce", *options)
        return self.service.run(*arguments, announce_topic=self.topic, **settings)

    def doomed(self, *words: str, **settings: str) -> Process:
        """An announcer that sends itself a signal: see `DOOMED`."""
        return self.service.run("-c", DOOMED, *words, announce_topic=self.topic, **settings)

    def drain(self) -> None:
        """Runs `delivery announce --drain` to its end."""
        drained = self.service.command("announce", "--drain", announce_topic=self.topic)
        assert drained.exit_code() == 0, drained.stderr()

    def wait_until_all_is_announced(self) -> None:
        wait_until(
            lambda: open_rows(self.service) == 0, "the outbox is empty", *self.service.started
        )


@pytest.fixture
def announcing(
    make_service: Callable[[int], Service], make_topic: Callable[[int], str]
) -> Announcing:
    """With two partitions of announcements."""
    return Announcing(make_service(1), make_topic(2))


def has_turn(announcer: Process) -> Callable[[], bool]:
    return lambda: '"event": "announcing"' in announcer.stderr()


# What is announced


def test_each_created_delivery_is_announced_once_as_the_order_service_reads_it(
    announcing: Announcing,
) -> None:
    service = announcing.service
    service.publish(stream(31, 500))
    totals = announcing.drain_worker()
    assert open_rows(service) == totals["created"]
    announced = announcing.announcer("--drain", event_timezone="Asia/Seoul")
    assert announced.exit_code() == 0, announced.stderr()
    assert json.loads(announced.stderr().splitlines()[-1])["announced"] == totals["created"]
    assert_announced_once(service, announcing.topic)
    clocks = dict(service.connection.execute("SELECT order_id, consumed_at FROM processed_events"))
    for record in records(service, announcing.topic):
        assert dict(record.headers) == {
            "__TypeId__": b"com.sparta.logistics.delivery.domain.event.DomainEventEnvelop"
        }
        told = json.loads(record.value)
        order_id = int(record.key)
        created_at = clocks_of(told["createdAt"])
        assert created_at <= clocks[order_id]
        assert told == {
            "event": {
                "deliveryId": order_id,
                "status": "pending",
                "deliveryAddress": None,
                "recipientName": None,
                "recipientSnsId": None,
                "orderId": order_id,
                "originHubId": None,
                "destinationHubId": None,
                "createdAt": told["createdAt"],
            },
            "eventId": told["eventId"],
            "createdAt": told["createdAt"],
            "eventType": "com.sparta.logistics.delivery.domain.event.DeliveryCreateEvent",
            "source": "deliveryService.createDelivery",
        }


def clocks_of(numbers: list[int]) -> datetime:
    """Jackson's array in Seoul, as UTC."""
    year, month, day, hour, minute, *rest = numbers
    second, nanosecond = (*rest, 0, 0)[:2]
    seoul = ZoneInfo("Asia/Seoul")
    local = datetime(year, month, day, hour, minute, second, nanosecond // 1000, seoul)
    return local.astimezone(UTC)


def test_a_replay_of_the_order_topic_announces_nothing_anew(
    announcing: Announcing, contents: Contents
) -> None:
    announcing.service.publish(stream(32, 300))
    announcing.drain_worker()
    announcing.drain()
    before = contents()
    replayed = announcing.drain_worker(kafka_group_id=f"{announcing.service.group}-again")
    assert set(replayed) == {"redelivered"}
    announcing.drain()
    after = contents()
    assert after.pop("announced_positions")
    before.pop("announced_positions")
    assert after == before
    assert_announced_once(announcing.service, announcing.topic)


def test_a_dead_letters_replay_that_creates_a_delivery_announces_it(
    announcing: Announcing,
) -> None:
    service = announcing.service
    value = b'{"event": {"orderId": 5}, "createdAt": "2100-01-01T00:00:00Z"}'
    sent = stream(33, 3)
    service.publish([*sent, sent[0]._replace(value=value)])
    announcing.drain_worker()
    announcing.drain()
    assert 5 not in orders(records(service, announcing.topic))
    replay = ("dead-letters", "replay", "--all", "--reason", "future_event_time")
    replayed = service.command(*replay, max_future_skew="P40000D")
    assert replayed.exit_code() == 0, replayed.stderr()
    announcing.drain()
    assert 5 in orders(records(service, announcing.topic))
    assert_announced_once(service, announcing.topic)


def test_nothing_is_announced_before_its_delivery_is_there(announcing: Announcing) -> None:
    service = announcing.service
    worker = announcing.worker(batch_size="20")
    announcer = announcing.announcer()
    early: list[int] = []
    seen: list[int] = []

    def watch() -> None:
        consumer = KafkaConsumer(
            announcing.topic,
            bootstrap_servers=service.bootstrap_servers,
            isolation_level="read_committed",
            group_id=None,
            auto_offset_reset="earliest",
        )
        query = "SELECT count(*) FROM deliveries WHERE order_id = ANY(%s)"
        with closing(consumer):
            while len(seen) < 500:
                for some in consumer.poll(100).values():
                    told = orders(some)
                    ((there,),) = service.connection.execute(query, (told,))
                    if there < len(told):
                        early.extend(told)
                    seen.extend(told)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    service.publish(stream(34, 2000))
    wait_until(lambda: len(seen) >= 500, "500 are announced", worker, announcer)
    watcher.join(10)
    assert early == []


# Ended at any moment

STEPS = [
    ("delivery.announce.turn", "take", "after"),
    ("delivery.broker.transactions", "started", "before"),
    ("kafka:KafkaProducer", "init_transactions", "after"),
    ("delivery.broker.committed", "state", "after"),
    ("delivery.announce.announcements", "set_positions", "before"),
    ("delivery.announce.announcements", "set_positions", "after"),
    ("delivery.announce.announcements", "open_rows", "after"),
    ("delivery.broker.transactions:Transactions", "begin", "after"),
    ("delivery.broker.transactions:Transactions", "_send_batch", "after"),
    ("delivery.broker.transactions:Transactions", "send", "after"),
    ("kafka.producer.transaction_manager:TransactionManager", "begin_commit", "after"),
    ("delivery.broker.transactions:Transactions", "commit", "after"),
    ("delivery.announce.announcements", "mark", "before"),
    ("delivery.announce.announcements", "mark", "after"),
]


@pytest.mark.parametrize(
    ("owner", "function", "moment"), STEPS, ids=[" ".join(step) for step in STEPS]
)
def test_an_announcer_killed_between_two_steps_announces_each_delivery_once(
    announcing: Announcing, owner: str, function: str, moment: str
) -> None:
    announcing.create(stream(35, 300))
    doomed = announcing.doomed("SIGKILL", owner, function, moment, "1")
    assert doomed.exit_code() == -signal.SIGKILL, doomed.stderr()
    announcing.drain()
    assert_announced_once(announcing.service, announcing.topic)


def test_what_is_committed_to_the_topic_of_before_is_not_announced_to_the_present_one(
    announcing: Announcing, make_topic: Callable[[int], str]
) -> None:
    announcing.service.publish(stream(42, 300))
    announcing.drain_worker()
    kill_before_it_marks(announcing)
    present = Announcing(announcing.service, make_topic(2))
    present.drain()
    assert records(announcing.service, present.topic) == []
    assert_announced_once(announcing.service, announcing.topic)


def test_what_was_committed_to_a_topic_that_is_gone_is_announced_to_the_present_one(
    announcing: Announcing, make_topic: Callable[[int], str]
) -> None:
    announcing.service.publish(stream(43, 300))
    announcing.drain_worker()
    kill_before_it_marks(announcing)
    with closing(KafkaAdminClient(bootstrap_servers=announcing.service.bootstrap_servers)) as admin:
        admin.delete_topics([announcing.topic])
    present = Announcing(announcing.service, make_topic(2))
    present.drain()
    assert_announced_once(announcing.service, present.topic)


def kill_before_it_marks(announcing: Announcing) -> None:
    """Its announcements are committed to Kafka, and the database does not know it."""
    doomed = announcing.doomed("SIGKILL", "delivery.announce.announcements", "mark", "before", "1")
    assert doomed.exit_code() == -signal.SIGKILL, doomed.stderr()


@pytest.mark.parametrize("calls", range(1, 21))
def test_an_announcer_killed_at_each_statement_announces_each_delivery_once(
    announcing: Announcing, calls: int
) -> None:
    announcing.create(stream(36, 100))
    words = ("psycopg:Connection", "execute", "after", str(calls))
    doomed = announcing.doomed("SIGKILL", *words)
    assert doomed.exit_code() == -signal.SIGKILL, doomed.stderr()
    announcing.drain()
    assert_announced_once(announcing.service, announcing.topic)


def test_twenty_kills_at_random_announce_each_delivery_once(announcing: Announcing) -> None:
    service, rng = announcing.service, random.Random(37)
    worker = announcing.worker(batch_size="10")
    sent = stream(37, 6000)
    for kill in range(20):
        service.publish(sent[kill * 300 : (kill + 1) * 300])
        announcer = announcing.announcer()
        wait_until(has_turn(announcer), "it has the turn", announcer)
        threading.Event().wait(rng.uniform(0, 0.4))  # no condition: the moment is the point
        assert announcer.end(signal.SIGKILL) == -signal.SIGKILL
    service.wait_until_accounted(6000)
    assert worker.end() == 0
    announcing.drain()
    assert_announced_once(service, announcing.topic)


# In turn


def test_of_two_announcers_one_announces_and_the_other_takes_over(announcing: Announcing) -> None:
    service = announcing.service
    worker = announcing.worker(batch_size="50")
    first = announcing.announcer()
    wait_until(has_turn(first), "the first has the turn", first)
    second = announcing.announcer()
    service.publish(stream(38, 1000))
    service.wait_until_accounted(1000)
    announcing.wait_until_all_is_announced()
    assert not has_turn(second)()
    assert first.end() == 0
    service.publish([record._replace(partition=0) for record in stream(39, 500)])
    wait_until(has_turn(second), "the second has the turn", second)
    service.wait_until_accounted(1500)
    announcing.wait_until_all_is_announced()
    assert second.end() == 0
    assert worker.end() == 0
    assert_announced_once(service, announcing.topic)


@pytest.mark.parametrize(
    ("owner", "function", "moment"), STEPS[6:], ids=[" ".join(step) for step in STEPS[6:]]
)
def test_a_frozen_announcer_is_replaced_and_announces_nothing_twice_when_it_thaws(
    announcing: Announcing, owner: str, function: str, moment: str
) -> None:
    service = announcing.service
    service.publish(stream(40, 300))
    announcing.drain_worker()
    frozen = announcing.doomed("SIGSTOP", owner, function, moment, "1")
    wait_until(lambda: is_stopped(frozen), "it stops itself", frozen)
    successor = announcing.announcer()
    wait_until(has_turn(successor), "it is replaced", successor)
    announcing.wait_until_all_is_announced()
    frozen.running.send_signal(signal.SIGCONT)
    service.publish(stream(41, 600)[300:])
    announcing.drain_worker()
    announcing.wait_until_all_is_announced()
    assert successor.end() == 0
    assert frozen.end() == 0
    assert_announced_once(service, announcing.topic)


def test_a_transaction_that_is_left_open_until_kafka_aborts_it_is_announced_once(
    announcing: Announcing,
) -> None:
    """Frozen for longer than the transaction's timeout, with nobody to take over."""
    service = announcing.service
    service.publish(stream(45, 300))
    announcing.drain_worker()
    words = ("delivery.broker.transactions:Transactions", "send", "after", "1")
    frozen = announcing.doomed("SIGSTOP", *words)
    wait_until(lambda: is_stopped(frozen), "it stops itself", frozen)
    assert records(service, announcing.topic) == []  # at the end once the transaction is aborted
    frozen.running.send_signal(signal.SIGCONT)
    announcing.wait_until_all_is_announced()
    assert frozen.end() == 0
    assert_announced_once(service, announcing.topic)


def is_stopped(process: Process) -> bool:
    options = os.WSTOPPED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, process.running.pid, options) is not None


# Where it can't begin


def test_without_a_topic_it_says_which_setting_is_missing(announcing: Announcing) -> None:
    announcer = announcing.service.run("-m", "delivery", "announce")
    assert announcer.exit_code() == 2
    assert announcer.stderr().startswith("delivery: DELIVERY_ANNOUNCE_TOPIC is not set")


def test_a_topic_that_is_not_there_is_named_and_not_made(announcing: Announcing) -> None:
    settings = {"announce_topic": "no-such-topic"}
    announcer = announcing.service.run("-m", "delivery", "announce", **settings)
    assert announcer.exit_code() == 2
    (line,) = announcer.stderr().splitlines()[-1:]
    assert line == (
        "delivery: Kafka has no topic no-such-topic: check DELIVERY_ANNOUNCE_TOPIC, or create "
        "the topic"
    )
