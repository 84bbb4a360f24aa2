"""One contender drains one topic: how long it took, and what it cost."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from benchmarks import commits, processes
from benchmarks.contenders import POLL, Contender
from benchmarks.environment import Environment
from benchmarks.processes import Finished, cpu_seconds

MILLION = 1_000_000


@dataclass(frozen=True)
class Servers:
    """CPU seconds of the servers so far."""

    postgres: float
    redis: float


def servers(environment: Environment) -> Servers:
    """As of now, with all their processes, those included that have ended."""
    return Servers(cpu_seconds(environment.postgres.pid), cpu_seconds(environment.redis.pid))


def drain(
    environment: Environment, contender: Contender, topic: str, records: int, database_url: str
) -> dict[str, Any]:
    """Rate and cost of one drain, from the first poll to the last database commit.

    The bare poll commits nothing: its clock stops after its last record.
    """
    settings = environment.settings(topic, database_url)
    with processes.contending(contender, settings, "--drain") as contending:
        before = servers(environment)
        finished = contending.finish()
        after = servers(environment)
    seconds = (_end(contender, topic, database_url, finished) - finished.consuming).total_seconds()
    share = MILLION / records
    return {
        "contender": contender.name,
        "records": records,
        "seconds": round(seconds, 3),
        "rate": round(records / seconds),
        "process_cpu": round(finished.cpu_seconds * share, 2),  # seconds per million records
        "postgres_cpu": round((after.postgres - before.postgres) * share, 2),
        "redis_cpu": round((after.redis - before.redis) * share, 2),
        "peak_memory": finished.peak_memory,
        "said": finished.said.get("records"),
    }


def _end(contender: Contender, topic: str, database_url: str, finished: Finished) -> datetime:
    if contender is POLL:
        return finished.stopped
    with commits.connected(database_url) as connection:
        return commits.last(connection, contender, topic)
