"""Records a second, and what they cost: CPU time, memory, bytes on disk, and the right outcome."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import sql

from benchmarks import commits
from benchmarks.contenders import INSTALLED, REDIS, Contender
from benchmarks.environment import Connection, Environment
from benchmarks.measures.drain import drain
from benchmarks.records import records
from benchmarks.sizes import Sizes


def measure(environment: Environment, sizes: Sizes) -> Iterator[dict[str, Any]]:
    """A sample for each contender in each round. The slow ones have the beginning of the topic."""
    start = datetime.now(UTC) - timedelta(milliseconds=sizes.records)
    sent = list(records(sizes.records, start))
    topics = {len(part): environment.published(part) for part in (sent, sent[: sizes.slow_records])}
    for round_number in range(1, sizes.rounds + 1):
        for contender in INSTALLED:
            count = sizes.slow_records if contender.is_slow else sizes.records
            orders = len({record.order_id for record in sent[:count]})
            with environment.database() as url:
                environment.redis.forget_all()
                empty = environment.redis.bytes_used()
                sample = drain(environment, contender, topics[count], count, url)
                sample |= {"round": round_number, "orders": orders}
                if contender is REDIS:
                    used = environment.redis.bytes_used() - empty
                    sample["redis_bytes_per_key"] = round(used / environment.redis.keys())
                yield sample | _left_behind(url, contender, count, orders)


def _left_behind(url: str, contender: Contender, count: int, orders: int) -> dict[str, Any]:
    """What the database holds afterwards."""
    left: dict[str, Any] = {}
    if not contender.log:
        return left
    with commits.connected(url) as connection:
        left["bytes_per_record"] = round(_bytes(connection, contender) / count)
        if contender.deliveries:
            rows, delivered = commits.deliveries(connection, contender)
            left |= {"lost": orders - delivered, "doubled": rows - delivered}
    return left


_SIZE = """
SELECT coalesce(sum(pg_total_relation_size(relid)), pg_total_relation_size(%(table)s::regclass))
FROM pg_partition_tree(%(table)s::regclass) WHERE pg_relation_size(relid) > 0
"""


def _bytes(connection: Connection, contender: Contender) -> int:
    """Tables and indexes, after VACUUM has given back what it can and a checkpoint wrote it all.

    Partitions that hold no row don't count: they are there once, whatever the number of records.
    """
    total = 0
    for table in {contender.log, contender.deliveries, *contender.tables} - {""}:
        connection.execute(sql.SQL("VACUUM {}").format(sql.Identifier(table)))
        ((size,),) = connection.execute(_SIZE, {"table": table})
        total += int(size or 0)
    connection.execute("CHECKPOINT")
    return total
