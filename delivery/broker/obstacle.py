"""Why no record can come although the group is not to blame: a topic or a right is missing."""

import time
from dataclasses import dataclass, field

import structlog
from kafka import KafkaConsumer
from kafka.errors import KafkaError, TopicAuthorizationFailedError

from delivery.broker import internals
from delivery.broker.positions import REQUEST_TIMEOUT_MS, Positions
from delivery.broker.refusals import Failure, explained
from delivery.errors import SettingsError
from delivery.settings import KafkaSettings

log = structlog.get_logger()

SPREADS_IN_S = 2.0  # so long may a new topic be unknown to one broker, and known to others
METADATA_EVERY_S = 1.0  # so old what is known of the topic may be when records are taken
WARN_EVERY_S = 5.0


@dataclass
class Obstacle:
    """One thing that keeps records away, named again and again while it lasts."""

    why: str | None = None
    _warned_at: float = 0.0

    def meet(self, why: str) -> None:
        """Notes it, with a warning every `WARN_EVERY_S`."""
        self.why = why
        if time.monotonic() - self._warned_at > WARN_EVERY_S:
            self._warned_at = time.monotonic()
            log.warning(why)

    def clear(self) -> None:
        """It is gone."""
        self.why = None


@dataclass
class TopicWatch:
    """Looks whether the topic is still there, may be read, and is the same as before."""

    _consumer: KafkaConsumer
    _settings: KafkaSettings
    _positions: Positions
    obstacle: Obstacle = field(default_factory=Obstacle)
    _looked_at: float = 0.0

    def require(self) -> None:
        """Raises SettingsError where there is no topic, if one may see that.

        One answer without it is no proof: it may be that to a request from before the subscription,
        an error's, or that of a broker which has not heard of the topic yet.
        """
        deadline = time.monotonic() + SPREADS_IN_S
        while not self._is_there_or_forbidden():
            if time.monotonic() > deadline:
                raise SettingsError(f"{self._missing}, or publish to it first")

    def _is_there_or_forbidden(self) -> bool:
        internals.refresh_metadata(self._consumer, REQUEST_TIMEOUT_MS / 1000)
        state = internals.topic_state(self._consumer, self._settings.kafka_topic)
        return state.exists or state.is_forbidden

    def look(self, at_once: bool = False) -> None:
        """Looks about once a second, or `at_once`: after a pause, in which a fetch may have failed
        unseen or none was under way.

        Kafka answers a fetch by the topic's name only. Where a topic is deleted, made anew and
        filled beyond the position between two fetches, its records are read twice, never lost.
        Raises SettingsError where the right is missing before there ever was a partition.
        """
        if at_once or time.monotonic() - self._looked_at > METADATA_EVERY_S:
            internals.refresh_metadata(self._consumer, METADATA_EVERY_S)
            self._looked_at = time.monotonic()
        state = internals.topic_state(self._consumer, self._settings.kafka_topic)
        if state.is_forbidden:
            self.obstacle.meet(self.refusal(TopicAuthorizationFailedError()))
        elif not state.exists:
            self.obstacle.meet(self._missing)
        else:
            self.obstacle.clear()
        self._positions.belong_to(state.topic_id)

    def refusal(self, error: KafkaError) -> str:
        """The right or the login that Kafka misses. Raises SettingsError with it where there never
        was a partition: the next start would end in the same way.
        """
        failure = Failure(self._settings.kafka_bootstrap_servers, error)
        why = str(explained(failure, self._settings))
        if not self._positions.have_begun:
            raise SettingsError(why)
        return why

    @property
    def _missing(self) -> str:
        return f"Kafka has no topic {self._settings.kafka_topic}: check DELIVERY_KAFKA_TOPIC"
