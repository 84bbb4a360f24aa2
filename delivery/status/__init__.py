"""Is it alive, and what is stuck: what the database and Kafka say, and what is wrong with that.

For people who look, and for a probe. A worker's own health is `monitoring.health`.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from delivery.broker.consumption import Consumption
from delivery.dead_letters import queries
from delivery.domain.vocabulary import REASONS
from delivery.errors import NotMigratedError
from delivery.postgres import database
from delivery.postgres.database import Connection

_LAST_CONSUMED = """
SELECT now(), greatest((SELECT max(consumed_at) FROM processed_events),
                       (SELECT max(consumed_at) FROM duplicate_events),
                       (SELECT max(consumed_at) FROM dead_letters))
"""


@dataclass(frozen=True)
class Log:
    """What the database says at `now`, its clock. `wrong_schema` says why the tables can't be read.

    `open_letters` has every reason, also with 0.
    """

    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    revision: str = database.REVISION
    wrong_schema: str | None = None
    last_consumed_at: datetime | None = None
    open_letters: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))


@dataclass(frozen=True)
class Status:
    """Both sides; None for the one that can't be reached."""

    log: Log | None
    consumption: Consumption | None

    @property
    def now(self) -> datetime:
        """The database's time, or else ours."""
        return self.log.now if self.log else datetime.now(UTC)

    @property
    def waiting(self) -> int:
        """The number of offsets that wait in all partitions."""
        return self.consumption.waiting if self.consumption else 0

    @property
    def oldest(self) -> timedelta | None:
        """For how long the oldest record has waited, by the records' timestamps, if it is known."""
        partitions = self.consumption.partitions if self.consumption else ()
        times = [p.oldest for p in partitions if p.oldest is not None]
        return max(timedelta(0), self.now - min(times)) if times else None


def read(connection: Connection) -> Log:
    """What the database says, also where its schema is of another revision."""
    revision = database.revision(connection)
    try:
        database.require_migrated(connection)
    except NotMigratedError as error:
        return Log(revision=revision, wrong_schema=str(error))
    now, last_consumed_at = last_consumed(connection)
    with database.transaction(connection):
        letters = queries.count_open(connection)
    return Log(now, revision, None, last_consumed_at, letters)


def last_consumed(connection: Connection) -> tuple[datetime, datetime | None]:
    """The database's time, and when the last record reached one of the logs. Takes milliseconds."""
    with database.transaction(connection):
        ((now, last_consumed_at),) = connection.execute(_LAST_CONSUMED)
    return now, last_consumed_at
