"""Whether DELIVERY_EVENT_TIMEZONE is the producers' zone, as far as the log shows it.

A wrong zone moves each event by whole hours, or by half or a quarter of one. Moved into the future
it becomes a dead letter; moved into the past nobody notices, but for its distance to the record's
own timestamp.
"""

from datetime import datetime, timedelta

from delivery.check.line import Line, ok, warning
from delivery.postgres import database
from delivery.postgres.database import Connection
from delivery.settings import WorkerSettings

ENOUGH = 20  # events to judge by
QUARTER = timedelta(minutes=15)  # zones differ by multiples of it
NEAR = timedelta(minutes=1)
LEAST = timedelta(minutes=30)

_NEWEST = """
SELECT count(*), percentile_disc(0.5) WITHIN GROUP (ORDER BY record_time - event_time)
FROM (SELECT record_time, event_time FROM processed_events
      ORDER BY consumed_at DESC LIMIT 1000) AS newest
WHERE record_time IS NOT NULL
"""
_IN_THE_FUTURE = """
SELECT count(*) FROM dead_letters WHERE reason = 'future_event_time' AND resolved_at IS NULL
"""


def line(connection: Connection, worker: WorkerSettings) -> Line:
    """The zone, and what speaks against it."""
    with database.transaction(connection):
        ((events, behind),) = connection.execute(_NEWEST)
        ((future,),) = connection.execute(_IN_THE_FUTURE)
    zone = worker.event_timezone
    said = f"times without an offset are read in {zone}, where it is {datetime.now(zone):%H:%M}"
    if "event_timezone" not in worker.model_fields_set:
        said += " (the default)"
    if future:
        return warning(
            "zone",
            f"{said}; {future:,} open dead letters have times in the future",
            "set DELIVERY_EVENT_TIMEZONE to the producers' zone, restart the workers, and "
            "delivery dead-letters replay --all --reason future_event_time",
        )
    if events >= ENOUGH and looks_moved(behind):
        return warning(
            "zone",
            f"{said}; half of the newest {events:,} events are {_hours(behind)} or more older "
            "than their records, a difference as zones have it",
            "compare createdAt of a new record with the time in DELIVERY_EVENT_TIMEZONE",
        )
    return ok("zone", said)


def looks_moved(behind: timedelta) -> bool:
    """Whether events lie so far before their records as a wrong zone would move them."""
    nearest = round(behind / QUARTER) * QUARTER
    # A record is sent at once or a little later, never before its event.
    return nearest >= LEAST and nearest - NEAR / 12 <= behind <= nearest + NEAR


def _hours(length: timedelta) -> str:
    return f"{round(length / QUARTER) / 4:g} h"
