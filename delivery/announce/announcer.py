"""The way of an announcement: outbox -> one Kafka transaction -> marked in the database.

The Kafka commit comes first. What is committed there and not marked here is found at the end of the
topic by whoever has the next turn: see `catching_up`. So each created delivery is announced exactly
once for a reader of committed records, and none before its database commit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import structlog
from pydantic import SecretStr

from delivery.announce import announcements, turn
from delivery.announce.announcements import BEFORE_ALL, Topic
from delivery.announce.catching_up import catch_up
from delivery.announce.recorder import NoOpRecorder, Recorder
from delivery.announce.turn import Stop
from delivery.announce.wire import Row, Wire
from delivery.broker import transactions
from delivery.broker.transactions import Transactions
from delivery.errors import FencedError, ForbiddenError, RaceError, SettingsError, UnavailableError
from delivery.postgres.commit_watch import CommitWatch
from delivery.postgres.database import Connection
from delivery.settings import KafkaSettings

log = structlog.get_logger()

BATCH = 5000  # rows in one transaction, at most
REST_S = 0.1  # after a batch that was not full: what comes meanwhile shares one transaction

# Between two tries to reach a server.
FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 10.0


@dataclass
class Announcer:
    """Announces to one topic, in turn with others like it."""

    url: SecretStr
    kafka: KafkaSettings
    topic: str
    transactional_id: str
    wire: Wire
    silence: timedelta  # after so long without a sign of life the turn goes to another
    recorder: Recorder = field(default_factory=NoOpRecorder)
    announced: int = 0
    _failures: int = 0  # since the last announcement
    _has_begun: bool = False

    def run(self, stop: Stop, drain: bool = False) -> None:
        """Announces until `stop` is requested; with `drain` until nothing is open.

        Where a server is away it tries again. Raises SettingsError, NotMigratedError or
        ForbiddenError where it can't begin.
        """
        is_done = False
        while not stop.requested and not is_done:
            try:
                is_done = self._serve(stop, drain)
            except (UnavailableError, FencedError, RaceError) as error:
                self._rest(error, stop)
            except (SettingsError, ForbiddenError) as error:
                if not self._has_begun:
                    raise
                self._rest(error, stop)

    def _serve(self, stop: Stop, drain: bool) -> bool:
        """One turn, from waiting for it to its end. Returns whether all is announced."""
        with (
            turn.session(self.url, self.silence) as connection,
            CommitWatch(self.url, lambda: connection).running(on_standby=self._waits_for_standby),
        ):

            def stand_by() -> bool:
                self.recorder.turned(is_active=False)
                return not (drain and _is_empty(connection))

            if not turn.take(connection, stop, stand_by):
                return True
            with transactions.started(self.kafka, self.topic, self.transactional_id) as kafka:
                self.recorder.turned(is_active=True)
                topic = catch_up(connection, self.kafka, self.topic)
                log.info("announcing", topic=self.topic, topic_id=str(topic.topic_id))
                self._has_begun = True
                return self._announce_all(connection, kafka, topic, stop, drain)

    def _announce_all(
        self, connection: Connection, kafka: Transactions, topic: Topic, stop: Stop, drain: bool
    ) -> bool:
        after = BEFORE_ALL
        while not stop.requested:
            rows = announcements.open_rows(connection, BATCH, after)
            self.recorder.turned(is_active=True)
            if rows:
                self._announce(connection, kafka, topic, rows)
            elif drain and after is BEFORE_ALL:
                return True
            is_full = len(rows) == BATCH
            after = rows[-1] if is_full else BEFORE_ALL
            if not (is_full or drain):
                turn.wait(REST_S, stop)
        return True

    def _announce(
        self, connection: Connection, kafka: Transactions, topic: Topic, rows: Sequence[Row]
    ) -> None:
        records = [self.wire.announcement(row) for row in rows]
        offsets = kafka.publish(records, self.wire.headers)
        announcements.mark(connection, topic, rows, offsets)
        self.announced += len(rows)
        self.recorder.announced(len(rows))
        self._failures = 0

    def _waits_for_standby(self) -> None:
        self.recorder.turned(is_active=True)

    def _rest(self, error: Exception, stop: Stop) -> None:
        delay = min(FIRST_DELAY_S * 2**self._failures, LONGEST_DELAY_S)
        self._failures += 1
        self.recorder.retried()
        log.warning("not announcing, trying again", seconds=delay, error=str(error))
        turn.wait(delay, stop)


def _is_empty(connection: Connection) -> bool:
    return not announcements.open_rows(connection, 1)
