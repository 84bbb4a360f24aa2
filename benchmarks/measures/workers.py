"""Several workers on one topic: rate and cost with 1, 2, 4 of them on four partitions."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import RetriableError

from benchmarks import commits, processes
from benchmarks.contenders import WORKER
from benchmarks.environment import Environment
from benchmarks.measures.drain import MILLION, servers
from benchmarks.open_transaction import open_transaction
from benchmarks.processes import Contending
from benchmarks.records import Sent, records
from benchmarks.sizes import Sizes
from delivery.broker.group import STABLE, describe

PARTITIONS = 4
SESSION_TIMEOUT = "10"  # seconds; members notice a newcomer after a tenth of it
WITHIN = 120.0  # seconds
POLL = 0.02  # seconds


class TooLateError(Exception):
    """Something did not come true in time."""


def measure(environment: Environment, sizes: Sizes) -> Iterator[dict[str, Any]]:
    """A sample for each number of workers in each round. Each order has a partition of its own."""
    start = datetime.now(UTC) - timedelta(milliseconds=sizes.worker_records)
    sent = list(records(sizes.worker_records, start))
    for round_number in range(1, sizes.rounds + 1):
        for number in sizes.worker_counts:
            yield {"round": round_number, **_together(environment, sent, number)}


def _together(environment: Environment, sent: list[Sent], number: int) -> dict[str, Any]:
    """The clock starts when the records become visible to workers that wait for them, all in the
    group with their partitions; it stops at the last database commit."""
    topic = environment.topic(PARTITIONS)
    with ExitStack() as ending:
        servers_ = environment.kafka.bootstrap_servers
        producer = ending.enter_context(open_transaction(servers_, topic, sent))
        admin = ending.enter_context(closing(KafkaAdminClient(bootstrap_servers=servers_)))
        url = ending.enter_context(environment.database())
        settings = environment.settings(topic, url)
        settings["DELIVERY_KAFKA_SESSION_TIMEOUT"] = SESSION_TIMEOUT
        group = settings["DELIVERY_KAFKA_GROUP_ID"]
        started = [ending.enter_context(processes.started(WORKER, settings)) for _ in range(number)]
        workers = [processes.announced(running) for running in started]
        _await(lambda: _members(admin, group) == number, "all workers are in the group")
        before, postgres, begun = _cpu(workers), servers(environment).postgres, datetime.now(UTC)
        producer.commit_transaction()
        _await(lambda: _committed(admin, group) >= len(sent), "all offsets are committed")
        process_cpu, postgres_cpu = _cpu(workers) - before, servers(environment).postgres - postgres
        with commits.connected(url) as connection:
            seconds = (commits.last(connection, WORKER, topic) - begun).total_seconds()
            rows, orders = commits.deliveries(connection, WORKER)
    share = MILLION / len(sent)
    return {
        "workers": number,
        "records": len(sent),
        "rate": round(len(sent) / seconds),
        "process_cpu": round(process_cpu * share, 2),
        "postgres_cpu": round(postgres_cpu * share, 2),
        "lost": len({record.order_id for record in sent}) - orders,
        "doubled": rows - orders,
    }


def _cpu(workers: list[Contending]) -> float:
    return sum(worker.cpu_seconds for worker in workers)


def _members(admin: KafkaAdminClient, name: str) -> int:
    """How many have their partitions."""
    group = describe(admin, name)
    return len(group.members) if group.state == STABLE else 0


def _committed(admin: KafkaAdminClient, group: str) -> int:
    """How many records' offsets are committed. The transaction's markers come after them."""
    offsets = admin.list_group_offsets(group)[group]
    return sum(max(0, found.offset) for found in offsets.values())


def _holds(condition: Callable[[], bool]) -> bool:
    try:
        return condition()
    except RetriableError:  # the broker's coordinator of groups is on its way up
        return False


def _await(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WITHIN
    while not _holds(condition):
        if time.monotonic() > deadline:
            raise TooLateError(f"not within {WITHIN:.0f} s: {what}")
        time.sleep(POLL)
