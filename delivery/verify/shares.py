"""A large log in shares: ranges of order ids, so that an order is in one of them as a whole."""

import os
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from pydantic import SecretStr

from delivery.postgres.database import Connection

MOST = 4  # processes, unless somebody asks for more: workers may run beside

FIRST, LAST = -(2**63), 2**63 - 1  # what a bigint can be

SAMPLE = 0.1  # per cent of the log's pages: they tell where to cut it
FEWEST_ROWS = 500  # in the sample; fewer are compared sooner than another process has begun

_CUTS = """
SELECT count(*), percentile_disc(%s::float8[]) WITHIN GROUP (ORDER BY order_id)
FROM processed_events TABLESAMPLE SYSTEM (%s::real)
"""


def default_number() -> int:
    """One for each core that is ours to use, but not more than a few."""
    if hasattr(os, "sched_getaffinity"):  # Linux only
        return min(len(os.sched_getaffinity(0)), MOST)
    return min(os.cpu_count() or 1, MOST)


@dataclass(frozen=True)
class Allowed:
    """How many processes may compare a large log, and where they find it."""

    url: SecretStr
    number: int


class Share(NamedTuple):
    """Order ids, from the first to the last one."""

    first: int
    last: int


def of_log(connection: Connection, number: int) -> list[Share]:
    """That many shares of about the same size, which have every order id; none of a small log.

    None either where a second session can't see what this one sees: through a pooler, which begins
    a transaction before we do, and on Citus, whose nodes have no common snapshot.
    """
    if number == 1 or connection.is_pooled or connection.is_citus:
        return []
    fractions = [part / number for part in range(1, number)]
    ((rows, cuts),) = connection.execute(_CUTS, (fractions, SAMPLE))
    if rows < FEWEST_ROWS:
        return []
    ends = [FIRST - 1, *sorted(set(cuts) - {LAST}), LAST]
    return [Share(before + 1, last) for before, last in pairwise(ends)]
