"""Replays and discards letters beside the requests, in a thread of its own: one action at a time.

An action that is cut off, by the end of the process or of the database, has done what it says, and
the rest of its letters is open still: somebody resolves them again.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import structlog
from pydantic import SecretStr

from delivery.dead_letters import resolve
from delivery.dead_letters.letter import LetterStatus
from delivery.domain.event import Contract
from delivery.domain.vocabulary import Action
from delivery.errors import (
    DeadLetterRefusedError,
    ForbiddenError,
    NotMigratedError,
    RaceError,
    RefusedError,
    SettingsError,
    UnavailableError,
)
from delivery.inbox.dead_letters import Resolver
from delivery.log import raised_at
from delivery.postgres import database
from delivery.postgres.database import Connection
from delivery.web.acting import actions

log = structlog.get_logger()

DISCARDED_AT_ONCE = 500  # letters, in one transaction
STOP_TIMEOUT_S = 5.0

EXPECTED = (
    DeadLetterRefusedError,
    ForbiddenError,
    NotMigratedError,
    RaceError,
    RefusedError,
    SettingsError,
    UnavailableError,
)


@dataclass(frozen=True)
class Order:
    """What somebody wants done, as it was written down under `action_id`."""

    action_id: int
    action: Action
    ids: Sequence[int]
    by: Resolver


@dataclass
class Runner:
    """Runs orders. Any thread may hand one in."""

    url: SecretStr
    contract: Contract
    _threads: set[threading.Thread] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _is_stopping: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """There is nothing to do before the first order."""

    def stop(self) -> None:
        """Ends what runs after its portion in hand, and waits for that, but not for long."""
        self._is_stopping.set()
        for thread in list(self._threads):
            thread.join(STOP_TIMEOUT_S)

    def run(self, order: Order) -> None:
        """Begins with the order, in the background."""
        thread = threading.Thread(target=self._run, args=(order,), name="action", daemon=True)
        with self._lock:
            self._threads.add(thread)
        thread.start()

    def _run(self, order: Order) -> None:
        try:
            self._resolve(order)
        except EXPECTED as error:
            log.warning("an action failed", action_id=order.action_id, error=str(error))
            self._end(order, str(error))
        except Exception as error:
            where = raised_at(error)
            log.error("a bug", error=type(error).__name__, where=where)  # noqa: TRY400 (no values)
            self._end(order, "a bug: it stands in the log of `delivery serve`")
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _resolve(self, order: Order) -> None:
        with resolve.connected(self.url) as connection:
            for portion in self._portions(connection, order):
                if not actions.progress(connection, order.action_id, len(portion)):
                    return
                if self._is_stopping.is_set():
                    actions.end(connection, order.action_id, actions.INTERRUPTED)
                    return
            actions.end(connection, order.action_id)

    def _portions(self, connection: Connection, order: Order) -> Iterable[list[LetterStatus]]:
        """What became of the letters of each portion, after its commit."""
        if order.action == "replay":
            return resolve.replay(connection, self.contract, order.ids, order.by)
        return _discarded(connection, order.ids, order.by)

    def _end(self, order: Order, error: str) -> None:
        """Writes down that it failed, if the database takes that; else it is lost soon."""
        try:
            with database.connect(self.url, "delivery serve") as connection:
                actions.end(connection, order.action_id, error)
        except EXPECTED as again:
            log.warning("its end is not written down", action_id=order.action_id, error=str(again))


def _discarded(
    connection: Connection, ids: Sequence[int], by: Resolver
) -> Iterator[list[LetterStatus]]:
    for first in range(0, len(ids), DISCARDED_AT_ONCE):
        yield resolve.discard(connection, ids[first : first + DISCARDED_AT_ONCE], by)
