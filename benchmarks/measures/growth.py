"""A log that grows: the worker's rate and the time of a look-up, with 0 to 20 million rows in it.

Rates are given as a ratio to that of an empty database, measured right before or after: so the
noise of the machine, which changes by the minute, is on both sides.

PostgreSQL is set as one sets it for a log of this size: see `postgres_settings`. After a checkpoint
it logs each page as a whole that is changed for the first time, until all pages had their turn:
that is over after a fraction of the time between two checkpoints. So these first records are
measured by themselves, and no checkpoint comes in between afterwards.
"""

import itertools
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

import psutil
from pydantic import SecretStr

from benchmarks import commits, filling, processes
from benchmarks.contenders import POLL, WORKER
from benchmarks.environment import Environment
from benchmarks.measures.drain import drain
from benchmarks.records import records
from benchmarks.sizes import Sizes
from delivery import history
from delivery.history import EventFilter
from delivery.postgres import database

# Share of the memory, as PostgreSQL's manual advises. With its default of 128 MB nearly each record
# with a random id reads pages that were evicted, and has others written.
# https://www.postgresql.org/docs/current/runtime-config-resource.html
BUFFERS = 1 / 4
# Checkpoints by time and not by volume, and not often.
CHECKPOINTS = {"max_wal_size": "16GB", "checkpoint_timeout": "30min"}

WINDOW_ROWS = 100
BYTES_A_ROW = 1200  # log, delivery and their indexes take 750; the rest is write-ahead log


class NoRoomError(Exception):
    """The disk is too small for a log of that size."""


def postgres_settings() -> dict[str, str]:
    """What is not PostgreSQL's default where growth is measured."""
    megabytes = round(psutil.virtual_memory().total * BUFFERS / 2**20)
    return {"shared_buffers": f"{megabytes}MB", **CHECKPOINTS}


def sequential(environment: Environment, sizes: Sizes) -> Iterator[dict[str, Any]]:
    """Order ids go up, as a sequence gives them."""
    return _measure(environment, sizes, "sequential")


def drawn(environment: Environment, sizes: Sizes) -> Iterator[dict[str, Any]]:
    """Order ids are anywhere among 62 bits, as random or hashed ones are."""
    return _measure(environment, sizes, "random")


def _measure(environment: Environment, sizes: Sizes, ids: str) -> Iterator[dict[str, Any]]:
    total = max(sizes.growth_rows)
    first_ids = itertools.count(total + 1, sizes.growth_records)
    with ExitStack() as ending:
        grown = ending.enter_context(environment.database())
        yield {"ids": ids, "rows": 0, **_lookups(environment, sizes, grown, ids, 0)}
        for before, rows in itertools.pairwise((0, *sizes.growth_rows)):
            begun = time.monotonic()
            _require_room(environment, rows - before)
            with ThreadPoolExecutor(1) as beside:  # publishing and filling take a core each
                topics = beside.submit(_slices, environment, sizes, ids, first_ids)
                filling.fill(grown, ids, before + 1, rows, total)
            yield {"ids": ids, "rows": rows, "filled_in": round(time.monotonic() - begun, 1)}
            first, *others = topics.result()
            cold = drain(environment, WORKER, first, sizes.growth_records, grown)
            yield {"ids": ids, "rows": rows, "rate_after_checkpoint": cold["rate"]}
            for number, topic in enumerate(others, 1):
                empty = ending.enter_context(environment.database())  # a drop would be a checkpoint
                rates = _rates(environment, sizes, grown, empty, topic, grown_first=number % 2 == 0)
                yield {"ids": ids, "rows": rows, "round": number, **rates}
            yield {"ids": ids, "rows": rows, **_lookups(environment, sizes, grown, ids, rows)}


def _require_room(environment: Environment, rows: int) -> None:
    free = shutil.disk_usage(environment.folder).free
    if free < rows * BYTES_A_ROW:
        raise NoRoomError(
            f"{rows:,} more rows need {rows * BYTES_A_ROW / 1e9:.0f} GB, and {free / 1e9:.0f} GB "
            "are free: set TMPDIR to a folder with more room"
        )


def _slices(
    environment: Environment, sizes: Sizes, ids: str, first_ids: Iterator[int]
) -> list[str]:
    """A topic for each round, and one before: what the grown log has is a redelivery again."""
    topics = []
    for first_id in itertools.islice(first_ids, sizes.growth_rounds + 1):
        start = datetime.now(UTC) - timedelta(milliseconds=sizes.growth_records)
        is_random = ids == "random"
        sent = records(
            sizes.growth_records, start, first_id=first_id, random_ids=is_random, seed=first_id
        )
        topics.append(environment.published(sent))
    return topics


def _rates(
    environment: Environment, sizes: Sizes, grown: str, empty: str, topic: str, grown_first: bool
) -> dict[str, Any]:
    """The same topic into the empty database and into the grown one, in changing order.

    It is polled once before: whoever came first to a new topic was the slower one.
    """
    drain(environment, POLL, topic, sizes.growth_records, grown)
    rates = {}
    databases = {"empty_rate": empty, "grown_rate": grown}
    for name in sorted(databases, reverse=grown_first):
        sample = drain(environment, WORKER, topic, sizes.growth_records, databases[name])
        rates[name] = sample["rate"]
        rates[name.replace("rate", "postgres_cpu")] = sample["postgres_cpu"]
    return {**rates, "ratio": round(rates["grown_rate"] / rates["empty_rate"], 3)}


def _lookups(
    environment: Environment, sizes: Sizes, url: str, ids: str, rows: int
) -> dict[str, Any]:
    """Milliseconds of a history, of an order and of a window of time; median and maximum.

    As `delivery history` asks, on a connection that is there; then the command as a whole.
    """
    with commits.connected(url) as connection:
        step = max(rows, 1) // sizes.lookups or 1
        known = [1 + number * step for number in range(sizes.lookups)]
        orders = filling.ids_of(connection, ids, known)
        times = [
            time
            for (time,) in connection.execute(
                "SELECT consumed_at FROM unnest(%s::bigint[]) AS i JOIN processed_events"
                " ON order_id = i ORDER BY 1",
                (orders,),
            )
        ] or [datetime.now(UTC) - timedelta(minutes=10)]
    by_order = [EventFilter(order_id) for order_id in orders]
    by_time = [EventFilter(since=m, until=m + timedelta(minutes=5)) for m in times]
    window = ["--since", times[0].isoformat(), "--limit", str(WINDOW_ROWS)]
    until = ["--until", (times[0] + timedelta(minutes=5)).isoformat()]
    return {
        **_summed("order", _asked(url, by_order)),
        **_summed("window", _asked(url, by_time)),
        **_summed("order_command", _commands(environment, url, sizes, [str(orders[0])])),
        **_summed("window_command", _commands(environment, url, sizes, [*window, *until])),
    }


def _asked(url: str, questions: list[EventFilter]) -> list[float]:
    with database.snapshot(SecretStr(url), "delivery history") as connection:
        list(history.events(connection, questions[0], WINDOW_ROWS))  # warm
        return [
            _milliseconds(lambda: list(history.events(connection, wanted, WINDOW_ROWS)))  # noqa: B023
            for wanted in questions
        ]


def _commands(
    environment: Environment, url: str, sizes: Sizes, arguments: list[str]
) -> list[float]:
    command = [sys.executable, "-m", "delivery", "history", *arguments]
    variables = processes.variables(environment.settings("-", url))

    def run() -> None:
        subprocess.run(command, env=variables, check=True, capture_output=True)

    return [_milliseconds(run) for _ in range(sizes.commands)]


def _milliseconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1000


def _summed(name: str, milliseconds: list[float]) -> dict[str, float]:
    return {
        f"{name}_ms": round(median(milliseconds), 2),
        f"{name}_max_ms": round(max(milliseconds), 2),
    }
