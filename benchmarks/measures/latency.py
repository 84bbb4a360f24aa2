"""From the producer's timestamp to the database commit, at several rates."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from benchmarks import commits, processes
from benchmarks.contenders import DESIGNS, Contender
from benchmarks.environment import Connection, Environment
from benchmarks.pacing import produce, producing
from benchmarks.records import ALL_NEW, Sent, records
from benchmarks.sizes import Phase, Sizes

SETTLED = 2.0  # seconds after the last record; who is not done by then does not keep up
POLL = 0.05  # seconds

# Who can't keep up shows it at once: this many seconds are enough of a rate that is too high.
TOO_FAST_SECONDS = 3.0


def measure(environment: Environment, sizes: Sizes) -> Iterator[dict[str, Any]]:
    """Samples of each design and rate in each round, from one process that goes through the rates.

    Records are all new, so that each has a row whose commit gives its latency.
    """
    for round_number in range(1, sizes.rounds + 1):
        for contender in DESIGNS:
            for sample in _rates(environment, contender, sizes):
                yield {"round": round_number, **sample}


def _rates(
    environment: Environment, contender: Contender, sizes: Sizes
) -> Iterator[dict[str, Any]]:
    topic = environment.topic()
    environment.redis.forget_all()
    new = records(10**9, datetime.now(UTC), ALL_NEW)
    with (
        environment.database() as url,
        processes.contending(contender, environment.settings(topic, url)),
        producing(environment.kafka.bootstrap_servers) as producer,
        commits.connected(url) as connection,
    ):
        first = 0
        for phase in (sizes.warm_up, *_phases(contender, sizes)):
            sent: list[Sent] = list(islice(new, round(phase.rate * phase.seconds)))
            produced = produce(producer, topic, sent, phase)
            sample = _sample(connection, contender, topic, first, first + len(sent))
            first += len(sent)
            if phase is not sizes.warm_up:
                pace = {"rate": phase.rate, "produced": round(produced), "sent": len(sent)}
                yield {"contender": contender.name, **pace, **sample}
            if not sample["keeps_up"]:
                return


def _phases(contender: Contender, sizes: Sizes) -> Iterator[Phase]:
    for phase in sizes.phases:
        is_too_fast = contender.is_slow and phase.rate >= 10_000
        seconds = min(phase.seconds, TOO_FAST_SECONDS) if is_too_fast else phase.seconds
        yield Phase(phase.rate, seconds)


def _sample(
    connection: Connection, contender: Contender, topic: str, first: int, end: int
) -> dict[str, Any]:
    """The percentiles of these offsets, unless some of them are not committed in time."""
    deadline = time.monotonic() + SETTLED
    while True:
        count, percentiles = commits.latencies(connection, contender, topic, first, end)
        if count == end - first:
            p50, p99, p999 = (round(ms, 2) for ms in percentiles)
            return {"keeps_up": True, "p50": p50, "p99": p99, "p999": p999}
        if time.monotonic() > deadline:
            return {"keeps_up": False, "committed": count}
        time.sleep(POLL)
