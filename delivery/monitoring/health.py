"""Whether a worker moves, and whether it is able to work."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from pydantic import SecretStr

from delivery.announce import announcements
from delivery.announce.announcements import Lag
from delivery.dead_letters import queries
from delivery.errors import ForbiddenError, NotMigratedError
from delivery.monitoring.single_flight import SingleFlight
from delivery.postgres import database, session
from delivery.postgres.database import Connection
from delivery.postgres.sqlstate import first_line

APPLICATION = "delivery endpoints"  # not the worker's name: see `database.Session`

# Between two heartbeats a moving loop may wait for Kafka's poll (1 s) and its answer about lost
# records (3 s), for a connection (5 s) and for a lock (5 s). Red has to come within 30 s.
STUCK_AFTER_S = 25.0
ANSWER_TIMEOUT_S = 2.0
LETTERS_INTERVAL_S = 15.0

Why = str | None  # why a check is red; None: it is green
Checks = dict[str, Why]
Result = TypeVar("Result")


def health(last_heartbeat: float) -> Checks:
    """Whether the loop moves. `last_heartbeat` is a monotonic time."""
    silent = time.monotonic() - last_heartbeat
    return {"loop": f"it has not turned for {silent:.0f} s" if silent > STUCK_AFTER_S else None}


def readiness(absent: Why, schema: SingleFlight[None], commit_waits: Why = None) -> Checks:
    """Whether the group is joined, the database answers and its schema is the one we need.

    A COMMIT that waits for a standby is a database that does not answer. Returns within
    `ANSWER_TIMEOUT_S`, also where the database does not answer.
    """
    checks = {"group": absent, **schema_readiness(schema)}
    return checks | {"database": commit_waits or checks["database"]}


def schema_readiness(schema: SingleFlight[None]) -> Checks:
    """Whether the database answers and its schema is the one we need, within that time."""
    checks: Checks = {"database": None, "schema": None}
    try:
        schema.result(ANSWER_TIMEOUT_S)
    except (NotMigratedError, ForbiddenError) as error:
        checks["schema"] = first_line(error)
    except Exception as error:
        checks |= {"database": first_line(error), "schema": "not known without the database"}
    return checks


@dataclass
class UnresolvedLetters:
    """Reads the unresolved dead letters by reason, and gives their numbers to `show`.

    They are read at a request for the metrics, not by the worker's loop. While the database does
    not answer, the last numbers stay: nobody can resolve a dead letter then.
    """

    unresolved: SingleFlight[dict[str, int]]
    show: Callable[[dict[str, int]], None]
    _due: float = 0.0

    def refresh(self) -> None:
        """Reads them, but not more often than every `LETTERS_INTERVAL_S`. Never raises."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + LETTERS_INTERVAL_S
        with suppress(Exception):  # /readyz says it
            self.show(self.unresolved.result(ANSWER_TIMEOUT_S))


def require_schema(url: SecretStr) -> None:
    """Raises UnavailableError, NotMigratedError or ForbiddenError."""
    _on_own_connection(url, database.require_migrated)


def unresolved_letters(url: SecretStr) -> dict[str, int]:
    """How many dead letters of each reason nobody has resolved. Raises as `require_schema`."""
    return _on_own_connection(url, queries.count_open)


def outbox_lag(url: SecretStr) -> Lag:
    """How far the announcements are behind. Raises as `require_schema`."""
    return _on_own_connection(url, announcements.lag)


def _on_own_connection(url: SecretStr, read: Callable[[Connection], Result]) -> Result:
    """Uses a connection of its own, so that a probe never blocks the worker."""
    limits = session.of_reader(timedelta(seconds=ANSWER_TIMEOUT_S))
    with (
        database.connect(url, APPLICATION, limits, read_only=True, is_first=False) as connection,
        database.transaction(connection),
    ):
        return read(connection)
