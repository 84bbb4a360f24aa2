"""Up to which time of arrival the log is complete: no row can still appear before it.

A transaction reads the clock that becomes `consumed_at`, and commits later: rows appear out of the
order of the log, and whoever follows it by the newest row that he saw would miss those behind it.
A row that is not visible yet belongs to a transaction that runs, or to one that begins later, and
its `consumed_at` is later than that transaction's begin. So the log is complete up to the begin of
the oldest transaction that runs.

When it began PostgreSQL tells only to roles that may read the statements of others, too. But any
role sees which transactions run: one that was not there at the last look began after it.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial

from pydantic import SecretStr

from delivery.postgres.database import Connection
from delivery.web.activity import APPLICATION, connected
from delivery.web.poller import Poller

INTERVAL_S = 0.5
IDLE_INTERVAL_S = 5.0

# The clock is read before the transactions are. Background processes have no user, and write
# nothing here; neither does `delivery serve`. A replica has the primary's rows, not its sessions.
_LOOK = """
SELECT statement_timestamp(), pg_is_in_recovery(), pg_last_xact_replay_timestamp(), ARRAY(
    SELECT t.virtualtransaction FROM pg_locks AS t JOIN pg_stat_activity AS s USING (pid)
    WHERE t.locktype = 'virtualxid' AND t.mode = 'ExclusiveLock' AND t.granted
      AND s.datname = current_database() AND s.usesysid IS NOT NULL AND s.application_name <> %s)
"""


class Looks:
    """What the looks at the running transactions say together. Pure.

    `late_commit_window` is the longest time between a record's `consumed_at` and its commit: a
    transaction that runs for longer, such as a dump, holds nothing back any more.
    """

    def __init__(self, late_commit_window: timedelta) -> None:
        self._window = late_commit_window
        self._last: datetime | None = None
        self._begun: dict[str, datetime] = {}  # each transaction began then or later

    def add(self, at: datetime, running: Iterable[str]) -> datetime:
        """The log is complete up to this time. `at` is the database's clock before the look.

        It never decreases, as long as the clock does not.
        """
        earliest = at - self._window
        unseen = self._last or earliest
        self._begun = {name: self._begun.get(name, unseen) for name in running}
        self._last = at
        return max(earliest, min(self._begun.values(), default=at))


class Watermark:
    """The time up to which the log is complete, looked at beside the requests."""

    def __init__(self, url: SecretStr, late_commit_window: timedelta) -> None:
        look = partial(_look, Looks(late_commit_window), late_commit_window)
        self._poller = Poller(
            "watermark", partial(connected, url, look), INTERVAL_S, IDLE_INTERVAL_S
        )

    def start(self) -> None:
        """Begins to look."""
        self._poller.start()

    def stop(self) -> None:
        """Looks no more."""
        self._poller.stop()

    def latest(self) -> datetime | None:
        """Complete up to here is what a query sees that begins now; None where it is not known."""
        return self._poller.latest().value


def _look(looks: Looks, window: timedelta, connection: Connection) -> datetime | None:
    ((at, is_replica, replayed_at, running),) = connection.execute(_LOOK, (APPLICATION,))
    if is_replica:  # all that was committed by then is here
        return None if replayed_at is None else replayed_at - window
    return looks.add(at, running)
