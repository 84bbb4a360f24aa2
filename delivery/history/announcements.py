"""Whether the order service was told of a created delivery, when, and where that lies in Kafka."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from delivery.postgres.database import Connection

Row = dict[str, Any]
Key = tuple[str, int, datetime]

_ASKED_BY = ("order_id", "event_time", "consumed_at")

# One statement for all, by the primary keys of both tables. PostgreSQL reads neither of them where
# the outbox was never on.
_ANNOUNCEMENTS = """
SELECT order_id, event_time, o.order_id IS NOT NULL, announced_at, announced_topic,
       announced_partition, announced_offset
FROM unnest(%(order_id)s::bigint[], %(event_time)s::timestamptz[], %(consumed_at)s::timestamptz[])
     AS created (order_id, event_time, consumed_at)
LEFT JOIN announcements USING (order_id, event_time)
LEFT JOIN outbox o USING (order_id, event_time, consumed_at)
WHERE EXISTS (SELECT FROM outbox_periods)
"""

_IN_WORDS = {
    "waiting": "still to come",
    "not_announced": "none, as the outbox was off when the delivery was created",
}


@dataclass(frozen=True)
class Announcement:
    """`waiting`: still to be announced. `announced`: when, and at which coordinates.

    `not_announced`: neither, as of a delivery that was created while the outbox was off.
    """

    status: Literal["announced", "waiting", "not_announced"]
    announced_at: datetime | None = None
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None

    def __str__(self) -> str:
        """In words, the time in UTC."""
        if self.announced_at is None:
            return _IN_WORDS[self.status]
        time = self.announced_at.astimezone(UTC).replace(tzinfo=None).isoformat(" ")
        return f"{time} as {self.topic}/{self.partition}/{self.offset}"


def added(connection: Connection, events: Sequence[Row]) -> list[Row]:
    """The events with an `announcement`: that of the delivery which the event created.

    None where it created none, and where the outbox was never on. Of an event it reads the
    outcome, the order, and the times of the event and of its arrival. Runs inside the caller's
    transaction, and asks nothing where no event is `created`.
    """
    created = [event for event in events if event["outcome"] == "created"]
    found = _found(connection, created) if created else {}
    return [event | {"announcement": found.get(_key(event))} for event in events]


def _found(connection: Connection, created: Sequence[Row]) -> dict[Key, Announcement]:
    values = {name: [event[name] for event in created] for name in _ASKED_BY}
    return {
        ("created", order_id, event_time): _announcement(*rest)
        for order_id, event_time, *rest in connection.execute(_ANNOUNCEMENTS, values)
    }


def _key(event: Row) -> Key:
    """With the outcome, for a duplicate has the order and the time of what created the delivery."""
    return event["outcome"], event["order_id"], event["event_time"]


def _announcement(
    is_open: bool,
    announced_at: datetime | None,
    topic: str | None,
    partition: int | None,
    offset: int | None,
) -> Announcement:
    if announced_at is not None:
        return Announcement("announced", announced_at, topic, partition, offset)
    return Announcement("waiting" if is_open else "not_announced")
