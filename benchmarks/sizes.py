"""How much is measured: by a full run, and by a quick one that only shows that all works."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Phase:
    """So many records a second for so many seconds."""

    rate: int
    seconds: float


@dataclass(frozen=True)
class Sizes:
    """All numbers of records are of one run of one contender."""

    rounds: int
    records: int
    slow_records: int  # for those with a transaction for each event
    warm_up: Phase
    phases: tuple[Phase, ...]  # of latency
    growth_rows: tuple[int, ...]  # in the log already
    growth_records: int
    growth_rounds: int
    lookups: int  # of the history, at each size
    commands: int  # the same from the command line
    worker_counts: tuple[int, ...]
    worker_records: int
    kills: int  # in a round
    kill_records: int  # for those that are slow; the worker has ten times as many
    fault_records: int


FULL = Sizes(
    rounds=5,
    records=300_000,
    slow_records=20_000,
    warm_up=Phase(200, 2),
    phases=(Phase(100, 10), Phase(1000, 8), Phase(10_000, 5)),
    growth_rows=(1_000_000, 5_000_000, 20_000_000),
    growth_records=200_000,
    growth_rounds=9,
    lookups=50,
    commands=5,
    worker_counts=(1, 2, 4),
    worker_records=200_000,
    kills=5,
    kill_records=8000,
    fault_records=5000,
)

QUICK = Sizes(
    rounds=1,
    records=5000,
    slow_records=400,
    warm_up=Phase(100, 0.5),
    phases=(Phase(100, 1), Phase(1000, 1)),
    growth_rows=(20_000,),
    growth_records=3000,
    growth_rounds=1,
    lookups=5,
    commands=1,
    worker_counts=(1, 2),
    worker_records=4000,
    kills=1,
    kill_records=600,
    fault_records=400,
)
