"""An announcement as the order service reads it: Spring's and Jackson's, byte by byte. Pure.

The same row always gives the same bytes, so that a consumer can recognise a repetition by `eventId`
whatever happens.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import cached_property, lru_cache
from typing import Literal, NamedTuple
from uuid import UUID, uuid5

TimeFormat = Literal["array", "iso"]

# Of our event ids: never to be changed, or a consumer would not know an announcement again.
NAMESPACE = UUID("8b3f6c1e-6d0a-5c52-9f0e-2f4c1d7a9b60")

SOURCE = "deliveryService.createDelivery"


class Row(NamedTuple):
    """A row of the outbox: what is to be announced. `consumed_at` is when it was decided."""

    consumed_at: datetime
    order_id: int
    event_time: datetime

    @property
    def event_id(self) -> UUID:
        """A UUID of version 5, of the order's id and the event's time in UTC: it is that of
        `1001/2026-01-01T00:01:14.254000+00:00` in `NAMESPACE`.
        """
        time = self.event_time.astimezone(UTC).isoformat("T", "microseconds")
        return uuid5(NAMESPACE, f"{self.order_id}/{time}")


class Announcement(NamedTuple):
    """A record for Kafka."""

    key: bytes
    value: bytes


@dataclass(frozen=True)
class Wire:
    """How announcements are written: in which zone and form times are, and the consumer's words."""

    zone: tzinfo
    time_format: TimeFormat
    event_type: str
    type_id: str
    status: str

    @cached_property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """Of each record: the Java class that Spring's JsonDeserializer reads it into."""
        return [("__TypeId__", self.type_id.encode())]

    @cached_property
    def _event_type(self) -> str:
        return json.dumps(self.event_type, ensure_ascii=False)

    @cached_property
    def _status(self) -> str:
        return json.dumps(self.status, ensure_ascii=False)

    def announcement(self, row: Row) -> Announcement:
        """The record that announces the delivery which `row`'s event created."""
        order_id, created_at = row.order_id, self._time(row.consumed_at)
        value = (
            f'{{"event":{{"deliveryId":{order_id},"status":{self._status},'
            '"deliveryAddress":null,"recipientName":null,"recipientSnsId":null,'
            f'"orderId":{order_id},"originHubId":null,"destinationHubId":null,'
            f'"createdAt":{created_at}}},"eventId":"{row.event_id}","createdAt":{created_at},'
            f'"eventType":{self._event_type},"source":"{SOURCE}"}}'
        )
        return Announcement(str(order_id).encode(), value.encode())

    def _time(self, time: datetime) -> str:
        return _local_time(time, self.zone, self.time_format)


@lru_cache(maxsize=4)  # all rows of a worker's transaction have the same time
def _local_time(time: datetime, zone: tzinfo, time_format: TimeFormat) -> str:
    """A `LocalDateTime` as Jackson writes it, where zeros at the end are left out."""
    local = time.astimezone(zone)
    numbers = [*local.timetuple()[:5]]
    if local.second or local.microsecond:
        numbers.append(local.second)
    if local.microsecond:
        numbers.append(local.microsecond * 1000)  # nanoseconds
    if time_format == "array":
        return f"[{','.join(map(str, numbers))}]"
    text = local.replace(tzinfo=None).isoformat()
    return f'"{text.rstrip("0") if local.microsecond else text}"'
