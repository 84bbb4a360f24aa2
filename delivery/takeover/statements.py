"""The statements that only an import has, beside those of the inbox."""

from collections.abc import Iterable, Sequence

from delivery.domain.decide import Change
from delivery.domain.imported import PREFIX
from delivery.errors import RaceError
from delivery.inbox.statements import Statements
from delivery.postgres.bulk import Target
from delivery.postgres.columns import DELIVERY
from delivery.postgres.database import Connection
from delivery.takeover.baseline import Known
from delivery.takeover.verdict import Move

_NAMES = ", ".join(DELIVERY)
_ARRAYS = ", ".join(f"%b::{kind}[]" for kind in DELIVERY.values())
_TAKEN_OVER = ", ".join(f"{name} = e.{name}" for name in DELIVERY if name != "order_id")
_GIVEN = ", ".join(name for name in DELIVERY if name not in ("order_id", "event_time"))

# The runs of one name take turns until the first has written a row, so that no two have the same
# coordinates.
_TAKE_TURNS = "SELECT pg_advisory_xact_lock(hashtext('delivery.import'), hashtext(%s))"
_NEXT_RUN = """
SELECT coalesce(max(record_partition) + 1, 0)
FROM (SELECT record_partition FROM processed_events WHERE record_topic = %(topic)s
      UNION ALL
      SELECT record_partition FROM duplicate_events WHERE record_topic = %(topic)s) AS runs
"""

_WITH_FIELDS = f"""
SELECT order_id FROM deliveries WHERE order_id = ANY(%b::bigint[]) AND num_nonnulls({_GIVEN}) > 0
"""  # noqa: S608 (names of our own)

# A worker's role may not insert a status: the column is left out where each has its default.
_PENDING = Target("deliveries", DELIVERY)
_WITH_STATUS = Target("deliveries", DELIVERY | {"status": "text"})

_UPDATE = f"""
UPDATE deliveries AS d
SET {_TAKEN_OVER}, updated_at = now()
FROM unnest({_ARRAYS}, %b::timestamptz[], %b::text[]) AS e ({_NAMES}, read_event_time, read_status)
WHERE d.order_id = e.order_id AND d.event_time = e.read_event_time AND d.status = e.read_status
"""  # noqa: S608

_MOVE = """
UPDATE deliveries AS d SET status = e.status, updated_at = now()
FROM unnest(%b::bigint[], %b::text[], %b::text[]) AS e (order_id, status, read_status)
WHERE d.order_id = e.order_id AND d.status = e.read_status
"""

_CONFLICTS = f"""
SELECT order_id, event_time, payload::text FROM duplicate_events
WHERE order_id = ANY(%s) AND record_topic LIKE '{PREFIX}%%' AND payload_differs
"""  # noqa: S608


def next_run(connection: Connection, topic: str) -> int:
    """The number of the next run of that name; nobody else has it once its rows are committed."""
    connection.execute(_TAKE_TURNS, (topic,))
    ((number,),) = connection.execute(_NEXT_RUN, {"topic": topic})
    return int(number)


def with_fields(connection: Connection, orders: Sequence[int]) -> set[int]:
    """Those of the orders whose delivery has a field beside its event's time."""
    if not orders:
        return set()
    return {order for (order,) in connection.execute(_WITH_FIELDS, [list(orders)])}


def insert_deliveries(statements: Statements, lines: Iterable[Known]) -> None:
    """Writes a delivery for each line, by one COPY sorted by order."""
    rows = sorted((*line.event.delivery_row, line.status) for line in lines)
    if all(status == "pending" for *_, status in rows):
        statements.insert(_PENDING, [row[:-1] for row in rows])
    else:
        statements.insert(_WITH_STATUS, rows)


def update_deliveries(connection: Connection, changed: Iterable[tuple[Change, str]]) -> None:
    """Gives the deliveries their fields. Raises RaceError if one is no longer as it was read."""
    rows = ((*event.delivery_row, read, status) for (event, read), status in changed)
    _update(connection, _UPDATE, sorted(rows))


def move(connection: Connection, moved: Iterable[Move]) -> None:
    """Gives the deliveries their status. Raises RaceError if one is no longer as it was read."""
    _update(connection, _MOVE, sorted(moved))


def news_of(connection: Connection, conflicts: Sequence[Known]) -> list[Known]:
    """Those of the conflicts that no import before has written down."""
    if not conflicts:
        return []
    orders = [line.event.order_id for line in conflicts]
    recorded = set(connection.execute(_CONFLICTS, (orders,)).fetchall())
    return [line for line in conflicts if _key_and_payload(line) not in recorded]


def _key_and_payload(line: Known) -> tuple[object, ...]:
    return line.event.order_id, line.event.event_time, line.event.payload.decode()


def _update(connection: Connection, statement: str, rows: Sequence[Sequence[object]]) -> None:
    if not rows:
        return
    columns = [list(column) for column in zip(*rows, strict=True)]
    if connection.execute(statement, columns).rowcount < len(rows):
        raise RaceError("a delivery changed between read and update")
