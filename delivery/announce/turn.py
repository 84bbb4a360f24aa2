"""One announcer at a time, the others stand by: who holds a lock of the database has the turn.

The lock belongs to the session in which the announcer reads and marks, so that whoever has lost the
turn can mark nothing. A session that is silent for too long is ended by the server, and its lock
with it: that of an announcer that is frozen, or whose host is lost. What such a one still sends to
Kafka when it wakes is refused there: whoever has the turn has fenced it.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Protocol

from pydantic import SecretStr

from delivery.errors import SettingsError
from delivery.postgres import database
from delivery.postgres.database import Connection, transaction
from delivery.postgres.session import of_announcer

APPLICATION = "delivery announcer"

TRY_EVERY_S = 1.0
STEP_S = 0.1  # so soon a signal is noticed

_TAKE = "SELECT pg_try_advisory_lock(hashtext('delivery.announce'))"


class Stop(Protocol):
    """Whether somebody asked to stop."""

    @property
    def requested(self) -> bool: ...


@contextmanager
def session(url: SecretStr, silence: timedelta) -> Iterator[Connection]:
    """A session that the server ends after `silence` without a statement, and with it its turn.

    An announcer was let in before, at its start.

    Raises UnavailableError, or SettingsError where a pooler stands in between.
    """
    with database.connect(url, APPLICATION, of_announcer(silence), is_first=False) as connection:
        if connection.is_pooled:
            raise SettingsError(
                "DELIVERY_DATABASE_URL leads to a pooler: an announcer needs a session of its own, "
                "whose end gives its turn away. Give it the server's own address"
            )
        yield connection


def take(connection: Connection, stop: Stop, stand_by: Callable[[], bool]) -> bool:
    """Waits for the turn. Returns whether we have it: not where `stop` is requested before, or
    `stand_by`, which is called at each try that fails, says that there is nothing to wait for.
    """
    while not stop.requested:
        with transaction(connection):
            ((is_ours,),) = connection.execute(_TAKE)
        if is_ours:
            return True
        if not stand_by():
            return False
        wait(TRY_EVERY_S, stop)
    return False


def wait(seconds: float, stop: Stop) -> None:
    """Waits, but not for longer than until `stop` is requested."""
    deadline = time.monotonic() + seconds
    while not stop.requested and (left := deadline - time.monotonic()) > 0:
        time.sleep(min(left, STEP_S))
