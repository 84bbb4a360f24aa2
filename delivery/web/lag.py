"""How far the workers are behind in Kafka, looked at beside the requests."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from delivery.broker import topic
from delivery.broker.lag import Behind, behind
from delivery.settings import KafkaSettings
from delivery.web.background import Watch

EVERY = 5.0  # seconds

NO_KAFKA = "DELIVERY_KAFKA_BOOTSTRAP_SERVERS is not set for `delivery serve`"


class Standing(NamedTuple):
    """The partitions as they were some seconds ago; None, and why, where nobody can tell."""

    partitions: list[Behind] | None
    why: str | None


class Lag:
    """What is known of the lag. It joins no group. Safe to ask from any thread."""

    def __init__(self, settings: KafkaSettings | None) -> None:
        self._watch = None if settings is None else Watch("lag", partial(_opened, settings), EVERY)

    def start(self) -> None:
        """Begins to look, if there is a Kafka to look at."""
        if self._watch is not None:
            self._watch.start()

    def stop(self) -> None:
        """Looks no more."""
        if self._watch is not None:
            self._watch.stop()

    def latest(self) -> Standing:
        """What was seen last, if the last look saw something."""
        if self._watch is None:
            return Standing(None, NO_KAFKA)
        seen = self._watch.seen()
        return Standing(seen.value if seen.why is None else None, seen.why)


@contextmanager
def _opened(settings: KafkaSettings) -> Iterator[Callable[[], list[Behind]]]:
    with topic.opened(settings) as opened:
        yield partial(behind, opened)
