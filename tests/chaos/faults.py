"""What goes wrong in a run. Each fault leaves the servers up, and at least one worker."""

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from crew import LARGEST, Crew
from ground import PARTITIONS, Ground
from processes import wait_until
from psycopg.errors import DeadlockDetected
from publishers import Publishers

SLICE = 100  # records that are published again
MOVED = 20  # deliveries whose status moves at once
SECONDS = 90.0  # the deadline of what takes ten

# Of these places, how many the logs hold.
ACCOUNTED = """
SELECT count(*) FROM unnest(%s::integer[], %s::bigint[]) AS this (part, place)
WHERE EXISTS (SELECT FROM event_history
              WHERE record_partition = this.part AND record_offset = this.place)
"""
# Other services may move it in any order here.
MOVE = "UPDATE deliveries SET status = %s WHERE order_id = ANY (%s)"


@dataclass
class Scene:
    """All that a fault can strike."""

    ground: Ground
    crew: Crew
    publishers: Publishers
    some: random.Random

    def await_progress(self) -> None:
        """Returns when the workers have consumed, in each partition, records of after this call."""
        begun = self.publishers.ends()
        reached = dict[int, int]()

        def published() -> bool:
            self.crew.assert_alive()
            self.publishers.assert_alive()
            reached.update(self.publishers.ends())
            return len(reached) == PARTITIONS and all(reached[p] > end for p, end in begun.items())

        def consumed() -> bool:
            self.crew.assert_alive()
            places = list(reached), list(reached.values())
            return connection.execute(ACCOUNTED, places).fetchone() == (len(reached),)

        workers = self.crew.living.values()
        wait_until(published, "records are published", seconds=SECONDS)
        with self.ground.connected() as connection:
            wait_until(consumed, "the workers go on", *workers, seconds=SECONDS)

    def await_end(self) -> None:
        """Returns when the workers have consumed all that was acknowledged."""
        with self.ground.connected() as connection:
            ends = self.publishers.ends()
            places = list(ends), list(ends.values())

            def consumed() -> bool:
                self.crew.assert_alive()
                return connection.execute(ACCOUNTED, places).fetchone() == (len(ends),)

            wait_until(consumed, "the workers come to the end", seconds=SECONDS)

    @contextmanager
    def held_worker(self) -> Iterator[tuple[int, int]]:
        """A worker within its transaction, after it wrote to the log; it goes on at the end.

        Yields the worker's number and the port it comes from.
        """
        with self.ground.connected() as connection, self.ground.connected() as holder:
            found: list[tuple[int, int]] = []

            def is_held() -> bool:
                self.crew.assert_alive()
                held = self.crew.held_by(connection, holder.info.backend_pid)
                found.extend([held] if held else [])
                return bool(found)

            with holder.transaction():
                holder.execute("LOCK TABLE deliveries IN SHARE MODE")
                workers = self.crew.living.values()
                wait_until(is_held, "a worker writes", *workers, seconds=SECONDS)
                yield found[0]


def kill(scene: Scene) -> None:
    scene.crew.kill(scene.crew.any())
    scene.crew.join()


def kill_in_transaction(scene: Scene) -> None:
    with scene.held_worker() as (number, _):
        scene.crew.kill(number)
    scene.crew.join()


def kill_between_commits(scene: Scene) -> None:
    """The database has the records and Kafka does not hear of it: all of them come again."""
    with ExitStack() as until_killed, scene.ground.connected() as connection:
        with scene.held_worker() as (number, port):
            until_killed.enter_context(scene.ground.frozen_broker())
        wait_until(lambda: scene.crew.is_between_transactions(connection, port), "it commits")
        scene.crew.kill(number)
    scene.crew.join()


def terminate(scene: Scene) -> None:
    scene.crew.terminate(scene.crew.any())
    scene.crew.join()


def freeze_for_a_moment(scene: Scene) -> None:
    """Shorter than the session timeout: the group keeps it."""
    with scene.crew.frozen(scene.crew.any()):
        _await_records(scene, 50)


def freeze_until_replaced(scene: Scene) -> None:
    """Others take its partitions, and then it comes back and believes that they are its own."""
    _at_least_two(scene)
    with scene.crew.frozen(scene.crew.any()):
        scene.await_progress()


def freeze_in_transaction(scene: Scene) -> None:
    """Its rows are written and not committed, and its locks must not stop its successor."""
    _at_least_two(scene)
    with ExitStack() as until_replaced:
        with scene.held_worker() as (number, _):
            until_replaced.enter_context(scene.crew.frozen(number))
        scene.await_progress()


def restart_database(scene: Scene) -> None:
    scene.ground.restart_database(crash=False)


def crash_database(scene: Scene) -> None:
    scene.ground.restart_database(crash=True)


def restart_broker(scene: Scene) -> None:
    scene.ground.restart_broker(crash=False)


def crash_broker(scene: Scene) -> None:
    scene.ground.restart_broker(crash=True)


def kill_and_crash_database(scene: Scene) -> None:
    with scene.held_worker() as (number, _):
        scene.crew.kill(number)
    scene.ground.restart_database(crash=True)
    scene.crew.join()


def join_or_leave(scene: Scene) -> None:
    if len(scene.crew.living) < LARGEST:
        scene.crew.join()
    else:
        scene.crew.terminate(scene.crew.any())


def republish(scene: Scene) -> None:
    scene.publishers.republish(SLICE)


def move_statuses(scene: Scene) -> None:
    """Another service writes to the same rows as the workers, in an order of its own."""
    events = [sent.event for sent in scene.publishers.sent() if sent.event]
    orders = [event.order_id for event in scene.some.choices(events[-500:], k=MOVED)]
    status = scene.some.choice(["dispatched", "delivered", "cancelled"])
    with scene.ground.connected() as connection:
        try:
            connection.execute(MOVE, (status, orders))
        except DeadlockDetected:  # with a worker, which then had its way
            connection.execute(MOVE, (status, sorted(orders)))


FAULTS: dict[str, Callable[[Scene], None]] = {
    "worker killed": kill,
    "worker killed within its transaction": kill_in_transaction,
    "worker killed between database commit and offset commit": kill_between_commits,
    "worker terminated": terminate,
    "worker frozen for a moment": freeze_for_a_moment,
    "worker frozen until others took over": freeze_until_replaced,
    "worker frozen within its transaction": freeze_in_transaction,
    "database restarted": restart_database,
    "database crashed": crash_database,
    "broker restarted": restart_broker,
    "broker crashed": crash_broker,
    "worker killed and database crashed": kill_and_crash_database,
    "worker joined or left": join_or_leave,
    "slice published again": republish,
    "statuses moved": move_statuses,
}


def _at_least_two(scene: Scene) -> None:
    if len(scene.crew.living) < 2:
        scene.crew.join()


def _await_records(scene: Scene, count: int) -> None:
    end = len(scene.publishers.acknowledged) + count
    wait_until(lambda: len(scene.publishers.acknowledged) >= end, "records are published")
