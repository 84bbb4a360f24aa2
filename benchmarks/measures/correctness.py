"""Deliveries lost and doubled, when a process is killed, an insert fails, a topic is read again.

The records hold resends and older events, so that one delivery for each order is right, and that
each design makes it if nothing fails.
"""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks import commits, processes
from benchmarks.contenders import DESIGNS, WORKER, Contender
from benchmarks.environment import Environment
from benchmarks.faults import fail_once
from benchmarks.records import OLDER_ONLY, records
from benchmarks.sizes import Sizes

SESSION_TIMEOUT = "1"  # seconds; after a SIGKILL the successor gets the partition so soon
LONGEST_LIFE = 0.5  # seconds from the first delivery to the SIGKILL
FAILING_SHARE = 10  # one order in so many
WORKER_TIMES = 10  # as many records for the worker: or it is done before it is killed
POLL = 0.005  # seconds


@dataclass(frozen=True)
class Scene:
    """A design on a topic and a database of its own."""

    environment: Environment
    contender: Contender
    url: str
    topic: str
    orders: list[int]

    def settings(self) -> dict[str, str]:
        """For all processes of one consumer group."""
        return {
            **self.environment.settings(self.topic, self.url),
            "DELIVERY_KAFKA_SESSION_TIMEOUT": SESSION_TIMEOUT,
        }

    def drain(self, settings: dict[str, str]) -> None:
        """Runs to the end of the topic."""
        with processes.contending(self.contender, settings, "--drain") as contending:
            contending.finish()

    def outcome(self, fault: str, struck: int) -> dict[str, Any]:
        """Deliveries that are missing, and that are more than one for their order."""
        with commits.connected(self.url) as connection:
            rows, orders = commits.deliveries(connection, self.contender)
        return {
            "contender": self.contender.name,
            "fault": fault,
            "struck": struck,
            "orders": len(self.orders),
            "lost": len(self.orders) - orders,
            "doubled": rows - orders,
        }


def measure(environment: Environment, sizes: Sizes) -> Iterator[dict[str, Any]]:
    """A sample for each design and fault in each round."""
    few = _stream(environment, sizes.kill_records)
    many = _stream(environment, sizes.kill_records * WORKER_TIMES)
    stream = _stream(environment, sizes.fault_records)
    for number in range(1, sizes.rounds + 1):
        for contender in DESIGNS:
            with _scene(environment, contender, many if contender is WORKER else few) as scene:
                yield {"round": number, **_killed(scene, sizes.kills, random.Random(number))}  # noqa: S311
        for fault in (_failing, _replayed):
            for contender in DESIGNS:
                with _scene(environment, contender, stream) as scene:
                    yield {"round": number, **fault(scene)}


def _stream(environment: Environment, count: int) -> tuple[str, list[int]]:
    """A topic, and the orders that its records are about."""
    start = datetime.now(UTC) - timedelta(milliseconds=count)
    sent = list(records(count, start, OLDER_ONLY))
    return environment.published(sent), sorted({record.order_id for record in sent})


@contextmanager
def _scene(
    environment: Environment, contender: Contender, stream: tuple[str, list[int]]
) -> Iterator[Scene]:
    environment.redis.forget_all()
    with environment.database() as url:
        yield Scene(environment, contender, url, *stream)


def _killed(scene: Scene, kills: int, rng: random.Random) -> dict[str, Any]:
    """SIGKILL at a moment of its work, and a successor in the same group; at the end one drains."""
    settings, struck = scene.settings(), 0
    with commits.connected(scene.url) as connection:
        for _ in range(kills):
            before = commits.deliveries(connection, scene.contender)
            with processes.contending(scene.contender, settings, "--drain") as contending:
                while (
                    commits.deliveries(connection, scene.contender) == before
                    and contending.running.poll() is None
                ):
                    time.sleep(POLL)
                time.sleep(rng.uniform(0, LONGEST_LIFE))
                struck += contending.running.poll() is None
                contending.running.kill()
    scene.drain(settings)
    return scene.outcome("killed", struck)


def _failing(scene: Scene) -> dict[str, Any]:
    """The insert of a delivery fails once for a tenth of the orders."""
    order_ids = scene.orders[::FAILING_SHARE]
    with commits.connected(scene.url) as connection:
        fail_once(connection, scene.contender, order_ids)
    scene.drain(scene.settings())
    return scene.outcome("insert fails once", len(order_ids))


def _replayed(scene: Scene) -> dict[str, Any]:
    """The topic is read again by a new group, when Redis has forgotten its keys after their day."""
    scene.drain(scene.settings())
    scene.environment.redis.forget_all()
    scene.drain(scene.settings())
    return scene.outcome("replayed after the keys expired", len(scene.orders))
