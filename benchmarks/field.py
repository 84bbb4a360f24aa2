"""The field: who competes, under which name, and which tables tell what each of them did."""

from dataclasses import dataclass
from importlib import import_module


@dataclass(frozen=True)
class Contender:
    """`name` is its module in `benchmarks.contenders`.

    `log` has a row for each record that was taken, with its place and time. `deliveries` has the
    result. A limit has no deliveries, and the bare poll no table at all.
    """

    name: str
    label: str
    log: str = ""
    deliveries: str = ""
    tables: tuple[str, ...] = ()  # beside the two
    is_slow: bool = False  # a transaction for each event: a smaller topic tells its rate as well

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

DESIGNS = (WORKER, INBOX, REDIS)
ALL = (*DESIGNS, POLL, COPY)
