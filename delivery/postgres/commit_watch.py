"""Tells that a COMMIT waits for a synchronous standby, for as long as that one is away.

Nothing else would: no timeout of PostgreSQL's reaches a COMMIT that is durable here and waits for a
standby, and a connection whose server waits is as alive as any.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import structlog
from pydantic import SecretStr

from delivery.errors import ForbiddenError, UnavailableError
from delivery.postgres import database, session
from delivery.postgres.database import Connection, transaction

log = structlog.get_logger()

APPLICATION = "delivery commit watch"

LOOK_EVERY_S = 1.0
PATIENCE_S = 3.0  # a COMMIT takes some milliseconds
ANSWER_TIMEOUT = timedelta(seconds=2)

# A pooler's client does not know its server's process: then whichever of this role waits.
_STANDBYS = """
SELECT current_setting('synchronous_standby_names') FROM pg_stat_activity
WHERE wait_event = 'SyncRep' AND usename = current_user AND (pid = %(pid)s OR %(is_pooled)s)
LIMIT 1
"""


@dataclass
class CommitWatch:
    """Looks at the COMMIT of one connection, from a thread and a connection of its own.

    `connection` returns the one to look at, or None. A COMMIT pays nothing for being looked at.
    """

    url: SecretStr
    connection: Callable[[], Connection | None]
    _told: float | None = None  # since when the COMMIT waits that there was a warning of
    _why: str = ""

    def why(self) -> str | None:
        """What a COMMIT under way waits for, once there was a warning. Any thread may call this."""
        return self._why if self._told is not None and self._told == self._since() else None

    @contextmanager
    def running(self, on_standby: Callable[[], None]) -> Iterator[None]:
        """Looks about once a second, and calls `on_standby` while the server says that the COMMIT
        waits for a standby: nothing here hangs then, and a restart would not help.
        """
        ended = threading.Event()

        def look_again() -> None:
            while not ended.wait(LOOK_EVERY_S):
                self.look(on_standby)

        threading.Thread(target=look_again, daemon=True).start()
        try:
            yield
        finally:
            ended.set()

    def look(self, on_standby: Callable[[], None]) -> None:
        """Warns once of a COMMIT that has no answer for `PATIENCE_S`, and says when it has one."""
        since = self._since()
        if self._told is not None and since != self._told:
            self._told = None
            log.info("COMMIT has its answer")
        if since is None or time.monotonic() - since < PATIENCE_S:
            return
        standbys = self._standbys()
        if standbys is not None:
            on_standby()
        if self._told is None and since == self._since():
            self._warn(since, standbys)

    def _since(self) -> float | None:
        connection = self.connection()
        return connection.committing_since if connection is not None else None

    def _warn(self, since: float, standbys: str | None) -> None:
        self._why, self._told = _reason(standbys), since
        log.warning(self._why, seconds=round(time.monotonic() - since, 1))

    def _standbys(self) -> str | None:
        """The synchronous standbys where one of them is waited for, None where that is not seen."""
        looked_at = self.connection()
        if looked_at is None:
            return None
        limits = session.of_reader(ANSWER_TIMEOUT)
        try:
            with (
                database.connect(self.url, APPLICATION, limits, read_only=True) as connection,
                transaction(connection),
            ):
                # Here, for it raises what the transaction translates where it is closed meanwhile.
                given = {"pid": looked_at.info.backend_pid, "is_pooled": looked_at.is_pooled}
                row = connection.execute(_STANDBYS, given).fetchone()
        except (UnavailableError, ForbiddenError):
            return None
        return str(row[0]) if row else None


def _reason(standbys: str | None) -> str:
    if standbys is None:
        return "COMMIT has no answer from PostgreSQL"
    return (
        f"COMMIT waits for a synchronous standby of synchronous_standby_names = '{standbys}': "
        "start it again, or, if it is gone for good, take it out of that setting and reload the "
        "primary's configuration"
    )
