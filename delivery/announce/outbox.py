"""The outbox: which created deliveries are still to be announced, and since when it is kept.

A row is written in the transaction that creates the delivery, so that there is one exactly if there
is a delivery. `delivery announce` takes it away in the transaction that notes where it went.
"""

from datetime import datetime

from delivery.domain.decide import Decision
from delivery.inbox.statements import Statements
from delivery.inbox.transaction import Outbox, no_outbox
from delivery.postgres.bulk import Target
from delivery.postgres.database import Connection, transaction

# The place for a second kind of announcement: its outcome here, and its value in `wire`. The key of
# an announcement, the order and the time of its event, has one outcome in the log.
ANNOUNCED = "created"

_OUTBOX = Target(
    "outbox", {"consumed_at": "timestamptz", "order_id": "int8", "event_time": "timestamptz"}
)

_IS_ON = "SELECT EXISTS (SELECT FROM outbox_periods WHERE switched_off_at IS NULL)"

# The clock that `consumed_at` is read from later, by whoever switched it on.
_SWITCH_ON = """
INSERT INTO outbox_periods (switched_on_at)
SELECT clock_timestamp()
WHERE NOT EXISTS (SELECT FROM outbox_periods WHERE switched_off_at IS NULL)
"""

_SWITCH_OFF = """
UPDATE outbox_periods SET switched_off_at = greatest(clock_timestamp(), switched_on_at)
WHERE switched_off_at IS NULL
"""


def write(statements: Statements, decision: Decision, consumed_at: datetime) -> None:
    """Writes a row for each delivery that `decision` creates."""
    rows = sorted(
        (consumed_at, event.order_id, event.event_time)
        for _, event, outcome in decision.entries
        if outcome == ANNOUNCED
    )
    statements.insert(_OUTBOX, rows)


def of_worker(connection: Connection, is_wanted: bool) -> Outbox:
    """What a worker's inbox writes to. The first worker that wants it switches it on."""
    if not is_wanted:
        return no_outbox
    with transaction(connection):
        connection.execute(_SWITCH_ON)
    return write


def as_switched(connection: Connection) -> Outbox:
    """What others write to who create deliveries: `write` while workers do."""
    with transaction(connection):
        ((is_on,),) = connection.execute(_IS_ON)
    return write if is_on else no_outbox


def switch_off(connection: Connection) -> bool:
    """Notes that no worker writes to it any more. Returns whether that is news."""
    with transaction(connection):
        return connection.execute(_SWITCH_OFF).rowcount > 0
