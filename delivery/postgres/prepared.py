"""Tells of a transaction that a Citus cluster has prepared on a node and not yet ended there.

A coordinator or a node that dies between the two steps of a COMMIT leaves one behind. Its rows stay
locked, and whoever needs them waits, until Citus ends it: see its `citus.recover_2pc_interval`.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog
from pydantic import SecretStr

from delivery.errors import ForbiddenError, UnavailableError
from delivery.postgres import database, session
from delivery.postgres.commit_watch import ANSWER_TIMEOUT
from delivery.postgres.database import Connection, transaction

log = structlog.get_logger()

APPLICATION = "delivery prepared transactions"

LOOK_EVERY_S = 5.0
PATIENCE_S = 3  # a COMMIT takes some milliseconds

# A node that is away has no answer, and is an outage by itself.
_LEFT_BEHIND = f"""
SELECT format('%s:%s', nodename, nodeport), unnest(string_to_array(result, ' '))
FROM run_command_on_workers($$
    SELECT string_agg(gid, ' ' ORDER BY gid) FROM pg_prepared_xacts
    WHERE database = current_database() AND prepared < now() - interval '{PATIENCE_S} s'
$$) JOIN pg_dist_node USING (nodename, nodeport)
WHERE success AND result <> ''
"""  # noqa: S608 (a number of our own)


@dataclass
class PreparedWatch:
    """Looks from a thread and a connection of its own, and only on Citus.

    `connection` returns the worker's, or None.
    """

    url: SecretStr
    connection: Callable[[], Connection | None]
    _told: set[tuple[str, str]] = field(default_factory=set)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Looks every `LOOK_EVERY_S`."""
        ended = threading.Event()

        def look_again() -> None:
            while not ended.wait(LOOK_EVERY_S):
                self.look()

        threading.Thread(target=look_again, daemon=True).start()
        try:
            yield
        finally:
            ended.set()

    def look(self) -> None:
        """Warns once of each transaction that is left behind."""
        worker = self.connection()
        if worker is None or not worker.is_citus:
            return
        limits = session.of_reader(ANSWER_TIMEOUT)
        try:
            with (
                database.connect(self.url, APPLICATION, limits) as connection,
                transaction(connection),
            ):
                found = {(node, gid) for node, gid in connection.execute(_LEFT_BEHIND)}
        except (UnavailableError, ForbiddenError):
            return
        for node, gid in sorted(found - self._told):
            log.warning(
                "a transaction is prepared and not ended: its orders wait until Citus ends it "
                "(citus.recover_2pc_interval), or at once a superuser who runs SELECT "
                "recover_prepared_transactions() on the coordinator",
                node=node,
                transaction=gid,
            )
        self._told = found
