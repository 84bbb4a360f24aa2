"""How many records had which outcome in which minute, counted beside the requests.

Counting a span of a long log takes seconds, a request may take a tenth of one. The log is
append-only, so that a minute that is over stays as it was counted.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from pydantic import SecretStr

from delivery.history import stats
from delivery.postgres import database
from delivery.postgres.database import Connection
from delivery.postgres.sqlstate import translated_errors
from delivery.web.background import Seen, Watch
from delivery.web.minutes import MINUTE, Bucket, Minutes

__all__ = ["MINUTE", "Activity", "Bucket"]

# Seconds.
EVERY = 5.0
DELIVERIES_EVERY = 60.0
LONGEST_QUERY = "60s"
AT_ONCE = 1.0  # so long one look counts older minutes

APPLICATION = "delivery serve"

Counted = TypeVar("Counted")


class Activity:
    """What is counted so far: minutes, and deliveries. Safe to ask from any thread."""

    def __init__(self, url: SecretStr, horizon: timedelta) -> None:
        self._minutes = Minutes(horizon)
        self._counting = Watch("activity", partial(_connected, url, self._count), EVERY)
        self._deliveries = Watch(
            "deliveries", partial(_connected, url, stats.deliveries), DELIVERIES_EVERY
        )

    def start(self) -> None:
        """Begins to count: the newest hour first, then back to the horizon."""
        self._counting.start()
        self._deliveries.start()

    def stop(self) -> None:
        """Counts no more."""
        self._counting.stop()
        self._deliveries.stop()

    @property
    def counted_since(self) -> datetime | None:
        """From here on every minute is counted; None before the first count."""
        return self._minutes.since

    @property
    def counted_at(self) -> datetime | None:
        """When the newest minutes were counted last; None before the first count."""
        return self._counting.seen().at

    def buckets(self, since: datetime, until: datetime, width: timedelta) -> list[Bucket]:
        """Buckets of whole minutes, the oldest first: see `Minutes.buckets`."""
        self._counting.seen()  # somebody looks at it
        return self._minutes.buckets(since, until, width)

    def deliveries(self) -> Seen[dict[str, int]]:
        """How many deliveries have which status, and when they were counted."""
        return self._deliveries.seen()

    def _count(self, connection: Connection) -> None:
        ((now,),) = connection.execute("SELECT now()")
        span = self._minutes.newest(now)
        self._minutes.add(span, stats.by_minute(connection, *span))
        deadline = time.monotonic() + AT_ONCE
        while (older := self._minutes.older(now)) and time.monotonic() < deadline:
            self._minutes.add(older, stats.by_minute(connection, *older))


@contextmanager
def _connected(
    url: SecretStr, count: Callable[[Connection], Counted]
) -> Iterator[Callable[[], Counted]]:
    with database.connect(url, APPLICATION) as connection, translated_errors():
        connection.read_only = True
        connection.execute("SELECT set_config('statement_timeout', %s, false)", (LONGEST_QUERY,))
        yield partial(count, connection)
