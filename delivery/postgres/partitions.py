"""The log's monthly partitions are made ahead of time, without anyone remembering."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from delivery.errors import UnavailableError
from delivery.postgres.database import Connection, transaction

log = structlog.get_logger()

INTERVAL = timedelta(hours=6)


@dataclass
class Partitions:
    """The log's monthly partitions, a year back and a year ahead, made when it is time."""

    _due: datetime | None = None  # at once

    def ensure(self, connection: Connection) -> None:
        """Makes the missing partitions, at the first call and then every `INTERVAL`.

        An event of any other month goes to the default partition, so that this is about speed and
        size and never about losing an event: where a long query holds the lock that a new partition
        needs, it is left for the next time.
        """
        now = datetime.now(UTC)
        if self._due is not None and now < self._due:
            return
        self._due = now + INTERVAL
        try:
            with transaction(connection):
                connection.execute("SELECT ensure_partitions()")
        except UnavailableError as error:
            log.warning("partitions not made, trying again later", error=str(error))
