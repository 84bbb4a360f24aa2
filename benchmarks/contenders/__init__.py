"""Each contender is a module that runs as a process: `python -m benchmarks.contenders.NAME`.

All take the same: the service's own settings from the environment, and `--drain` to end where the
topic ended at the start. All log the same two lines: `consuming` before the first poll, `stopped`
after the last record. `TABLES` is the DDL of what a contender has beside the service's tables.

The list of them is below: the name of each, and the tables that show what it did.
"""

import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path


@dataclass(frozen=True)
class Contender:
    """`name` is its module in `benchmarks.contenders`.

    `log` has a row for each record that was taken, with its coordinates and time. `deliveries` has
    the result. A limit has no deliveries, and the bare poll no table at all.
    """

    name: str
    label: str
    log: str = ""
    deliveries: str = ""
    tables: tuple[str, ...] = ()  # beside the two
    is_slow: bool = False  # a transaction for each event: a smaller topic gives the same rate
    python: str = sys.executable  # what runs it

    def ddl(self) -> str:
        """The tables that it has beside the service's."""
        ddl: str = import_module(f"benchmarks.contenders.{self.name}").TABLES
        return ddl


WORKER = Contender(
    "worker", "this service", "processed_events", "deliveries", ("duplicate_events",)
)
INBOX = Contender("ordinary_inbox", "ordinary inbox", "inbox", "inbox_deliveries", is_slow=True)
REDIS = Contender(
    "redis_design", "Redis design", "redis_deliveries", "redis_deliveries", is_slow=True
)
POLL = Contender("bare_poll", "bare poll (limit)")
COPY = Contender("bare_copy", "bare COPY (limit)", "bare_events")

# Writes the log's rows and no deliveries. `scripts/bench` makes its environment.
QUIX = Contender(
    "quix_streams",
    "Quix Streams (log only)",
    "quix_events",
    python=str(Path(__file__).parents[2] / ".venv-quix/bin/python"),
)

DESIGNS = (WORKER, INBOX, REDIS)
ALL = (*DESIGNS, QUIX, POLL, COPY)
INSTALLED = tuple(contender for contender in ALL if Path(contender.python).exists())
