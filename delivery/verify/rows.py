"""The rows that are compared."""

from datetime import datetime
from typing import Any, NamedTuple

from delivery.domain.event import DELIVERY_COLUMNS
from delivery.domain.record import Coordinates

Delivery = tuple[Any, ...]  # DELIVERY_COLUMNS
NO_DELIVERY: Delivery = (None,) * len(DELIVERY_COLUMNS)


class Entry(NamedTuple):
    """A row of the log, with its order's delivery as it is now, or NO_DELIVERY.

    `payload` is None where it was erased.
    """

    order_id: int
    event_time: datetime
    outcome: str
    payload: bytes | None
    topic: str
    partition: int
    offset: int
    delivery: Delivery

    @property
    def coordinates(self) -> Coordinates:
        """Where its record lies in Kafka."""
        return self.topic, self.partition, self.offset


class Duplicate(NamedTuple):
    """A row of `duplicate_events`; `payload` is None where it is not kept, or erased."""

    order_id: int
    event_time: datetime
    payload: bytes | None
    has_event: bool  # whether the inbox holds its key, or may have, before its month was archived
    topic: str
    partition: int
    offset: int

    @property
    def coordinates(self) -> Coordinates:
        """Where its record lies in Kafka."""
        return self.topic, self.partition, self.offset
