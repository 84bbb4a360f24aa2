"""Who reads the topic and how far they are behind, read beside the requests."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import NamedTuple

from delivery.broker import consumption
from delivery.broker.consumption import Consumption
from delivery.broker.group import Group
from delivery.broker.lag import Behind
from delivery.settings import KafkaSettings
from delivery.web.poller import Poller

# Also while nobody looks: who opens the first page must not be shown workers that ended long ago.
INTERVAL_S = 5.0

TREND_S = 60.0  # so far back the lag is compared

NO_KAFKA = "DELIVERY_KAFKA_BOOTSTRAP_SERVERS is not set for `delivery serve`"


class Earlier(NamedTuple):
    """How many records waited, and how long ago that was."""

    waiting: int
    ago: timedelta


class LagStatus(NamedTuple):
    """Partitions and group as they were some seconds ago; None, and why, where that is not known.

    `earlier` is the lag of up to a minute before, once there was one.
    """

    partitions: list[Behind] | None
    why: str | None
    group: Group | None = None
    earlier: Earlier | None = None


Look = Callable[[], LagStatus]


class Lag:
    """What is known of the group and its lag. It joins no group. Any thread may ask."""

    def __init__(self, settings: KafkaSettings | None) -> None:
        self._poller = (
            None
            if settings is None
            else Poller("lag", partial(_opened, settings), INTERVAL_S, INTERVAL_S)
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
        if latest.value is None or latest.error is not None:
            return LagStatus(None, latest.error)
        return latest.value


@contextmanager
def _opened(settings: KafkaSettings) -> Iterator[Look]:
    with consumption.opened(settings) as look:
        yield partial(_compared, look, deque())


def _compared(look: Callable[[], Consumption], totals: deque[tuple[float, int]]) -> LagStatus:
    """`totals` are those of the last minute, the oldest first."""
    seen, now = look(), time.monotonic()
    while len(totals) > 1 and now - totals[0][0] > TREND_S:
        totals.popleft()
    earlier = Earlier(totals[0][1], timedelta(seconds=now - totals[0][0])) if totals else None
    totals.append((now, seen.waiting))
    return LagStatus(seen.partitions, None, seen.group, earlier)
