"""What goes wrong in a run. Each fault leaves the servers up, and at least one worker."""

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from brokers import OFFSETS_TOPIC
from environment import PARTITIONS, TOPIC, Environment
from processes import wait_until
from psycopg.errors import DeadlockDetected
from publishers import Publishers
from standby import Pair
from workers import LARGEST, Workers

SLICE = 100  # records that are published again
MOVED = 20  # deliveries whose status moves at once
SECONDS = 90.0  # the deadline of what takes ten

# What a worker says.
LACKING = "the log lacks records below the committed offset"
WAITING = "COMMIT waits for a synchronous standby"

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

    environment: Environment
    workers: Workers
    publishers: Publishers
    rng: random.Random

    @property
    def pair(self) -> Pair:
        """The primary and its standby, of a run that has one."""
        assert self.environment.pair
        return self.environment.pair

    def any_broker(self) -> int:
        """The number of some broker."""
        return self.rng.choice(self.environment.brokers.numbers)

    def await_progress(self) -> None:
        """Returns when the workers have consumed, in each partition, records of after this call."""
        begun = self.publishers.ends()
        reached = dict[int, int]()

        def published() -> bool:
            self.workers.assert_alive()
            self.publishers.assert_alive()
            reached.update(self.publishers.ends())
            return len(reached) == PARTITIONS and all(reached[p] > end for p, end in begun.items())

        def consumed() -> bool:
            self.workers.assert_alive()
            places = list(reached), list(reached.values())
            return connection.execute(ACCOUNTED, places).fetchone() == (len(reached),)

        workers = self.workers.living.values()
        wait_until(published, "records are published", seconds=SECONDS)
        with self.environment.connected() as connection:
            wait_until(consumed, "the workers go on", *workers, seconds=SECONDS)

    def await_end(self) -> None:
        """Returns when the workers have consumed all that was acknowledged."""
        with self.environment.connected() as connection:
            ends = self.publishers.ends()
            places = list(ends), list(ends.values())

            def consumed() -> bool:
                self.workers.assert_alive()
                return connection.execute(ACCOUNTED, places).fetchone() == (len(ends),)

            wait_until(consumed, "the workers come to the end", seconds=SECONDS)

    @contextmanager
    def held_worker(self) -> Iterator[tuple[int, int]]:
        """A worker within its transaction, after it wrote to the log; it goes on at the end.

        Yields the worker's number and the port it comes from.
        """
        with self.environment.connected() as connection, self.environment.connected() as holder:
            found: list[tuple[int, int]] = []

            def is_held() -> bool:
                self.workers.assert_alive()
                held = self.workers.held_by(connection, holder.info.backend_pid)
                found.extend([held] if held else [])
                return bool(found)

            with holder.transaction():
                holder.execute("LOCK TABLE deliveries IN SHARE MODE")
                workers = self.workers.living.values()
                wait_until(is_held, "a worker writes", *workers, seconds=SECONDS)
                yield found[0]


def kill(scene: Scene) -> None:
    scene.workers.kill(scene.workers.any())
    scene.workers.join()


def kill_in_transaction(scene: Scene) -> None:
    with scene.held_worker() as (number, _):
        scene.workers.kill(number)
    scene.workers.join()


def kill_between_commits(scene: Scene) -> None:
    """The database has the records and Kafka does not hear of it: all of them come again."""
    with ExitStack() as until_killed, scene.environment.connected() as connection:
        with scene.held_worker() as (number, port):
            until_killed.enter_context(scene.environment.brokers.frozen())
        wait_until(lambda: scene.workers.is_between_transactions(connection, port), "it commits")
        scene.workers.kill(number)
    scene.workers.join()


def terminate(scene: Scene) -> None:
    scene.workers.terminate(scene.workers.any())
    scene.workers.join()


def freeze_for_a_moment(scene: Scene) -> None:
    """Shorter than the session timeout: the group keeps it."""
    with scene.workers.frozen(scene.workers.any()):
        _await_records(scene, 50)


def freeze_until_replaced(scene: Scene) -> None:
    """Others take its partitions, and then it comes back and believes that they are its own."""
    _at_least_two(scene)
    with scene.workers.frozen(scene.workers.any()):
        scene.await_progress()


def freeze_in_transaction(scene: Scene) -> None:
    """Its rows are written and not committed, and its locks must not stop its successor."""
    _at_least_two(scene)
    with ExitStack() as until_replaced:
        with scene.held_worker() as (number, _):
            until_replaced.enter_context(scene.workers.frozen(number))
        scene.await_progress()


def restart_database(scene: Scene) -> None:
    scene.environment.restart_database(crash=False)


def crash_database(scene: Scene) -> None:
    scene.environment.restart_database(crash=True)


def restart_broker(scene: Scene) -> None:
    scene.environment.brokers.restart(scene.any_broker(), crash=False)


def crash_broker(scene: Scene) -> None:
    scene.environment.brokers.restart(scene.any_broker(), crash=True)


def kill_leader(scene: Scene) -> None:
    _without(scene, scene.environment.brokers.leader(TOPIC, scene.rng.randrange(PARTITIONS)))


def kill_coordinator(scene: Scene) -> None:
    _without(scene, scene.environment.brokers.leader(OFFSETS_TOPIC))


def kill_controller(scene: Scene) -> None:
    _without(scene, scene.environment.brokers.controller())


def restart_all_brokers(scene: Scene) -> None:
    """One after the other, as an upgrade does."""
    for number in scene.environment.brokers.numbers:
        scene.environment.brokers.restart(number, crash=False)
        scene.environment.brokers.await_replicas()


def kill_and_crash_database(scene: Scene) -> None:
    with scene.held_worker() as (number, _):
        scene.workers.kill(number)
    scene.environment.restart_database(crash=True)
    scene.workers.join()


def join_or_leave(scene: Scene) -> None:
    if len(scene.workers.living) < LARGEST:
        scene.workers.join()
    else:
        scene.workers.terminate(scene.workers.any())


def republish(scene: Scene) -> None:
    scene.publishers.republish(SLICE)


def move_statuses(scene: Scene) -> None:
    """Another service writes to the same rows as the workers, in an order of its own."""
    events = [sent.event for sent in scene.publishers.sent() if sent.event]
    orders = [event.order_id for event in scene.rng.choices(events[-500:], k=MOVED)]
    status = scene.rng.choice(["dispatched", "delivered", "cancelled"])
    with scene.environment.connected() as connection:
        try:
            connection.execute(MOVE, (status, orders))
        except DeadlockDetected:  # with a worker, which then had its way
            connection.execute(MOVE, (status, sorted(orders)))


def promote_synchronous(scene: Scene) -> None:
    """Whatever was acknowledged is there, so that nobody has to read again."""
    rewinds = scene.workers.count_in_logs(LACKING)
    scene.pair.fail_over()
    _replace_standby(scene)
    scene.await_progress()
    assert scene.workers.count_in_logs(LACKING) == rewinds


def promote_asynchronous(scene: Scene) -> None:
    """Rows are gone whose offsets are committed: they are read again."""
    rewinds = scene.workers.count_in_logs(LACKING)
    scene.pair.require_standby(required=False)
    scene.pair.cut()
    scene.await_progress()
    scene.pair.fail_over()
    _replace_standby(scene)
    scene.await_progress()
    assert scene.workers.count_in_logs(LACKING) > rewinds


def hold_commits(scene: Scene) -> None:
    waits = scene.workers.count_in_logs(WAITING)
    scene.pair.cut()
    wait_until(lambda: scene.workers.count_in_logs(WAITING) > waits, "it is told", seconds=SECONDS)
    scene.pair.mend()


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

# With three brokers, whose others go on while one is away.
FAULTS_OF_A_CLUSTER: dict[str, Callable[[Scene], None]] = {
    "leader killed": kill_leader,
    "group coordinator killed": kill_coordinator,
    "controller killed": kill_controller,
    "brokers restarted one after the other": restart_all_brokers,
}

# With a standby, which each commit waits for unless the fault says otherwise.
FAULTS_OF_A_STANDBY: dict[str, Callable[[Scene], None]] = {
    "primary killed, its synchronous standby promoted": promote_synchronous,
    "primary killed, its standby promoted without the last rows": promote_asynchronous,
    "standby away, commits wait": hold_commits,
}


def _replace_standby(scene: Scene) -> None:
    """Today's primary gets a standby, and from now on each commit waits for it."""
    pair = scene.pair
    pair.replace_standby()
    pair.require_standby()
    pair.await_standby()


def _without(scene: Scene, broker: int) -> None:
    """The others have to do its work, and then it comes back."""
    scene.environment.brokers.kill(broker)
    scene.await_progress()
    scene.environment.brokers.start(broker)
    scene.environment.brokers.await_replicas()


def _at_least_two(scene: Scene) -> None:
    if len(scene.workers.living) < 2:
        scene.workers.join()


def _await_records(scene: Scene, count: int) -> None:
    end = len(scene.publishers.acknowledged) + count
    wait_until(lambda: len(scene.publishers.acknowledged) >= end, "records are published")
