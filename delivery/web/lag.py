"""How far the workers are behind in Kafka, read beside the requests."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from delivery.broker import topic
from delivery.broker.lag import Behind, behind
from delivery.settings import KafkaSettings
from delivery.web.poller import Poller

INTERVAL_S = 5.0

NO_KAFKA = "DELIVERY_KAFKA_BOOTSTRAP_SERVERS is not set for `delivery serve`"


class LagStatus(NamedTuple):
    """The partitions as they were some seconds ago; None, and why, where the lag is not known."""

    partitions: list[Behind] | None
    why: str | None


class Lag:
    """What is known of the lag. It joins no group. Any thread may ask."""

    def __init__(self, settings: KafkaSettings | None) -> None:
        self._poller = (
            None if settings is None else Poller("lag", partial(_opened, settings), INTERVAL_S)
        )

    def start(self) -> None:
        """Begins to read it, if there is a Kafka to ask."""
        if self._poller is not None:
            self._poller.start()

    def stop(self) -> None:
        """Reads it no more."""
        if self._poller is not None:
            self._poller.stop()

    def latest(self) -> LagStatus:
        """What was read last, unless a later read failed."""
        if self._poller is None:
            return LagStatus(None, NO_KAFKA)
        latest = self._poller.latest()
        return LagStatus(latest.value if latest.error is None else None, latest.error)


@contextmanager
def _opened(settings: KafkaSettings) -> Iterator[Callable[[], list[Behind]]]:
    with topic.opened(settings) as opened:
        yield partial(behind, opened)
