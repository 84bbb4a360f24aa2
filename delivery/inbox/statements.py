"""The statements of the transaction: what is read for a batch, and how its rows are written.

Nothing here commits. Rows go by binary COPY: at batches of 2000 it takes half the time of
executemany, and 1/25 of a statement for each row. Rows are sorted by key: two workers that write
the same keys then wait for each other in one order only, and can't deadlock.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from delivery.domain import headers
from delivery.domain.decide import Change, Decision, Delivery, Duplicate, Entry, Key, Logged, State
from delivery.domain.event import OrderCreated
from delivery.errors import RaceError
from delivery.postgres import bulk
from delivery.postgres.bulk import Target
from delivery.postgres.columns import DELIVERY
from delivery.postgres.database import Connection

# New orders mostly have the highest ids, and above the highest known one nothing is looked up. A
# concurrent insert above the maximum is a race like any other; the primary key catches it.
_HIGHEST = "SELECT max(order_id) FROM deliveries"

# By an array and not by a join with it: among 20 million deliveries two thirds of the time.
_READ_DELIVERIES = """
SELECT order_id, event_time, status FROM deliveries WHERE order_id = ANY(%b::bigint[])
"""

_READ_ENTRIES = """
SELECT p.order_id, p.event_time, p.record_topic, p.record_partition, p.record_offset,
       p.record_topic_id, CASE WHEN p.erasure_id IS NULL THEN p.payload::text END
FROM unnest(%b::bigint[], %b::timestamptz[]) AS e (order_id, event_time)
JOIN processed_events p ON p.order_id = e.order_id AND p.event_time = e.event_time
"""

# Citus plans this for each of its shards in a fraction of the time, although it may find a few more
# rows: other events of these orders at these times.
_READ_ENTRIES_ON_CITUS = """
SELECT order_id, event_time, record_topic, record_partition, record_offset,
       record_topic_id, CASE WHEN erasure_id IS NULL THEN payload::text END
FROM processed_events
WHERE order_id = ANY(%b::bigint[]) AND event_time = ANY(%b::timestamptz[])
"""

# Asked after the entries: whoever did not find a key that an archive took sees that there is one.
_HAS_ARCHIVE = "SELECT EXISTS (SELECT FROM archived_months)"

# The payload goes as bytes, that is unchanged, and so do the headers and those of the topic's id.
_ENTRIES = Target(
    "processed_events",
    {
        "order_id": "int8",
        "event_time": "timestamptz",
        "outcome": "text",
        "payload": "bytea",
        "record_topic": "text",
        "record_partition": "int4",
        "record_offset": "int8",
        "record_topic_id": "bytea",
        "record_time": "timestamptz",
        "consumed_at": "timestamptz",
        "record_headers": "bytea",
    },
)
_DELIVERIES = Target("deliveries", DELIVERY)

_NAMES = ", ".join(DELIVERY)  # of the values of `OrderCreated.delivery_row`
_ARRAYS = ", ".join(f"%b::{kind}[]" for kind in DELIVERY.values())
_TAKEN_OVER = ", ".join(f"{name} = e.{name}" for name in DELIVERY if name != "order_id")

_UPDATE_DELIVERIES = f"""
UPDATE deliveries AS d
SET {_TAKEN_OVER}, updated_at = now()
FROM unnest({_ARRAYS}, %b::timestamptz[]) AS e ({_NAMES}, read_event_time)
WHERE d.order_id = e.order_id AND d.event_time = e.read_event_time AND d.status = 'pending'
"""  # noqa: S608 (names and types of our own)

# A duplicate that is delivered again is in the table already, at the same coordinates; without a
# topic's id where a version wrote it that knew none.
_INSERT_DUPLICATES = """
INSERT INTO duplicate_events (record_topic, record_partition, record_offset, record_topic_id,
                              record_time, order_id, event_time, payload_differs, payload,
                              consumed_at)
SELECT topic, part, place, topic_id, time, order_id, event_time, payload IS NOT NULL, payload::json,
       %s
FROM unnest(%b::text[], %b::integer[], %b::bigint[], %b::uuid[], %b::timestamptz[], %b::bigint[],
            %b::timestamptz[], %b::text[])
     AS d (topic, part, place, topic_id, time, order_id, event_time, payload)
WHERE NOT EXISTS (
    SELECT FROM duplicate_events AS l
    WHERE l.record_topic = d.topic AND l.record_partition = d.part AND l.record_offset = d.place
      AND '00000000-0000-0000-0000-000000000000' IN (l.record_topic_id, d.topic_id))
ON CONFLICT (record_topic, record_partition, record_offset, record_topic_id) DO NOTHING
RETURNING payload_differs
"""


@dataclass(frozen=True, slots=True)
class Statements:
    """The statements of one batch, on a connection that is inside its transaction.

    `on_wait` is called each time that we would only wait for PostgreSQL.
    """

    connection: Connection
    on_wait: Callable[[], None]

    def read(self, events: Sequence[OrderCreated]) -> State:
        """What the database knows of the events' orders: their deliveries, then their inbox rows.

        An order without a delivery has nothing in the inbox. A commit between the two statements
        is a race like one after them: the constraints and the `UPDATE` catch it.
        """
        state = State()
        ((highest,),) = self.connection.execute(_HIGHEST)
        orders = list({e.order_id for e in events if e.order_id <= (highest or 0)})
        if not orders:
            return state
        with self.connection.pipeline():  # in which a statement is sent and not waited for
            found = self.connection.execute(_READ_DELIVERIES, [orders], prepare=True)
            self.on_wait()
            state.deliveries = {order_id: Delivery(*delivery) for order_id, *delivery in found}
            keys = [(e.order_id, e.event_time) for e in events if e.order_id in state.deliveries]
            if keys:
                self._read_inbox(keys, state)
        return state

    def _read_inbox(self, keys: Sequence[Key], state: State) -> None:
        query = _READ_ENTRIES_ON_CITUS if self.connection.is_citus else _READ_ENTRIES
        entries = self.connection.execute(query, _columns(keys), prepare=True)
        archive = self.connection.execute(_HAS_ARCHIVE, prepare=True)
        self.on_wait()
        ((state.has_archive,),) = archive
        state.inbox = {
            (order_id, event_time): Logged(
                (topic, part, offset), topic_id, None if payload is None else payload.encode()
            )
            for order_id, event_time, topic, part, offset, topic_id, payload in entries
        }

    def read_clock(self) -> datetime:
        """The database's clock. Read after the state, it makes `consumed_at` the log's order.

        Of two transactions on one order the later one saw the earlier one's commit, and so reads a
        later clock. Within one transaction the log is in the order of the records' coordinates.
        """
        now: datetime
        ((now,),) = self.connection.execute("SELECT clock_timestamp()")
        return now

    def write(self, decision: Decision, consumed_at: datetime) -> list[bool]:
        """Writes the rows of `decision`. Returns of each new duplicate whether it is a conflict.

        Raises RaceError if a delivery is no longer as it was read, or a key was taken in between.
        """
        self.insert_entries(decision.entries, consumed_at)
        self._insert_deliveries(decision.created)
        self._update_deliveries(decision.changed)
        return self.insert_duplicates(decision.duplicates, consumed_at)

    def insert_entries(self, entries: Sequence[Entry], consumed_at: datetime) -> None:
        """Writes these rows of the log."""
        rows = [
            (e.order_id, e.event_time, outcome, e.payload, r.topic, r.partition, r.offset,
             r.topic_id.bytes, r.time, consumed_at,
             headers.to_json(r.headers) if r.headers else None)
            for r, e, outcome in entries
        ]  # fmt: skip
        rows.sort()  # no two have the same key, so that nothing after it is compared
        self.insert(_ENTRIES, rows)

    def _insert_deliveries(self, created: dict[int, OrderCreated]) -> None:
        rows = [event.delivery_row for event in created.values()]
        rows.sort()
        self.insert(_DELIVERIES, rows)

    def _update_deliveries(self, changed: dict[int, Change]) -> None:
        if not changed:
            return
        rows = sorted((*event.delivery_row, read) for event, read in changed.values())
        updated = self.connection.execute(_UPDATE_DELIVERIES, _columns(rows)).rowcount
        if updated < len(rows):
            raise RaceError("a delivery changed between read and update")

    def insert_duplicates(
        self, duplicates: Sequence[Duplicate], consumed_at: datetime
    ) -> list[bool]:
        """Writes these rows. Returns of each new one whether it is a conflict."""
        if not duplicates:
            return []
        rows = sorted(
            (r.topic, r.partition, r.offset, r.topic_id, r.time, event.order_id, event.event_time,
             event.payload.decode() if differs else None)
            for r, event, differs in duplicates
        )  # fmt: skip
        cursor = self.connection.execute(_INSERT_DUPLICATES, (consumed_at, *_columns(rows)))
        return [differs for (differs,) in cursor]

    def insert(self, target: Target, rows: Sequence[Sequence[Any]]) -> None:
        """Writes the rows, if there are any."""
        bulk.write(self.connection, target, rows, self.on_wait)


def _columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
