"""How many records had each outcome in each minute, counted beside the requests.

Counting a span of a long log takes seconds, a request may take a tenth of one. The log is
append-only: a minute that is over, and in which no transaction can commit any more, stays as it
was counted.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from pydantic import SecretStr

from delivery.history import stats
from delivery.postgres import database, session
from delivery.postgres.database import Connection
from delivery.web.minutes import MINUTE, Bucket, Minutes
from delivery.web.poller import Poller, Snapshot

__all__ = ["MINUTE", "Activity", "Bucket"]

MINUTES_INTERVAL_S = 5.0
DELIVERIES_INTERVAL_S = 60.0
OLDER_S = 1.0  # so long one read counts older minutes

STATEMENT_TIMEOUT = timedelta(minutes=1)

APPLICATION = "delivery serve"

Counted = TypeVar("Counted")


class Activity:
    """What is counted so far: records by minute, deliveries by status. Any thread may ask.

    `late_commit_window` is the longest time between a record's `consumed_at` and its commit.
    """

    def __init__(self, url: SecretStr, horizon: timedelta, late_commit_window: timedelta) -> None:
        self._minutes = Minutes(horizon, late_commit_window)
        self._counting = Poller(
            "activity",
            partial(connected, url, partial(_count_now, self._minutes)),
            MINUTES_INTERVAL_S,
        )
        self._deliveries = Poller(
            "deliveries", partial(connected, url, stats.deliveries), DELIVERIES_INTERVAL_S
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
        return self._counting.latest().at

    def buckets(self, since: datetime, until: datetime, width: timedelta) -> list[Bucket]:
        """Buckets of whole minutes, the oldest first: see `Minutes.buckets`."""
        self._counting.latest()  # keeps the counts fresh
        return self._minutes.buckets(since, until, width)

    def deliveries(self) -> Snapshot[dict[str, int]]:
        """How many deliveries have each status, and when they were counted."""
        return self._deliveries.latest()


def count(minutes: Minutes, connection: Connection, now: datetime) -> None:
    """Counts the minutes that are due, and for a second older ones.

    `now` is a time of the database's clock before this call.
    """
    for span in minutes.due(now):
        minutes.add(span, stats.by_minute(connection, *span), now)
    deadline = time.monotonic() + OLDER_S
    while (older := minutes.older(now)) and time.monotonic() < deadline:
        minutes.add(older, stats.by_minute(connection, *older), now)


def _count_now(minutes: Minutes, connection: Connection) -> None:
    ((now,),) = connection.execute("SELECT now()")
    count(minutes, connection, now)


@contextmanager
def connected(
    url: SecretStr, read: Callable[[Connection], Counted]
) -> Iterator[Callable[[], Counted]]:
    """For a `Poller`: reads on one connection, each time in a transaction of its own."""
    settings = session.of_reader(STATEMENT_TIMEOUT)
    with database.connect(url, APPLICATION, settings, read_only=True) as connection:

        def counted() -> Counted:
            with database.transaction(connection):
                return read(connection)

        yield counted
