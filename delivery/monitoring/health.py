"""Whether a worker moves, and whether it is able to work."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from pydantic import SecretStr

from delivery.dead_letters import queries
from delivery.errors import ForbiddenError, NotMigratedError
from delivery.monitoring.single_flight import SingleFlight
from delivery.postgres import database
from delivery.postgres.database import Connection
from delivery.postgres.sqlstate import first_line, translated_errors

APPLICATION = "delivery endpoints"  # not the worker's name: see `database.Session`

# Seconds. What a turn of a moving loop may wait for, each in its turn, is Kafka's poll (1) and its
# answer about lost records (3), a connection (5) and a lock (5). Red has to come within 30.
STUCK_AFTER = 25.0
ANSWER_WITHIN = 2.0
LETTERS_EVERY = 15.0

Why = str | None  # why a check is red; None: it is green
Checks = dict[str, Why]
Answer = TypeVar("Answer")


def health(last_heartbeat: float) -> Checks:
    """Whether the loop moves. `last_heartbeat` is the monotonic time of its last sign of life."""
    silent = time.monotonic() - last_heartbeat
    return {"loop": f"it has not turned for {silent:.0f} s" if silent > STUCK_AFTER else None}


def readiness(absent: Why, schema: SingleFlight[None]) -> Checks:
    """Whether the group is joined, the database answers and its schema is the one we need.

    It is told within `ANSWER_WITHIN` seconds, also where the database does not answer.
    """
    checks = {"group": absent, "database": None, "schema": None}
    try:
        schema.result(ANSWER_WITHIN)
    except (NotMigratedError, ForbiddenError) as error:
        checks["schema"] = first_line(error)
    except Exception as error:
        checks |= {"database": first_line(error), "schema": "not known without the database"}
    return checks


@dataclass
class UnresolvedLetters:
    """Has the unresolved dead letters shown, by reason.

    They are read when somebody asks for the metrics: the worker's loop has better to do. While the
    database does not answer, the last numbers stay: nobody can resolve a dead letter then.
    """

    unresolved: SingleFlight[dict[str, int]]
    show: Callable[[dict[str, int]], None]
    _due: float = 0.0

    def refresh(self) -> None:
        """Reads them, but not more often than every `LETTERS_EVERY` seconds. Never raises."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + LETTERS_EVERY
        with suppress(Exception):  # /readyz says it
            self.show(self.unresolved.result(ANSWER_WITHIN))


def require_schema(url: SecretStr) -> None:
    """Raises UnavailableError, NotMigratedError or ForbiddenError."""
    _ask(url, database.require_migrated)


def unresolved_letters(url: SecretStr) -> dict[str, int]:
    """How many dead letters of each reason nobody has resolved. Raises as `require_schema`."""
    return _ask(url, queries.count_open)


def _ask(url: SecretStr, ask: Callable[[Connection], Answer]) -> Answer:
    """On a connection for this question, that the worker's own never waits."""
    with translated_errors(), database.connect(url, APPLICATION) as connection:
        connection.execute("SELECT set_config('statement_timeout', '2s', false)")
        return ask(connection)
