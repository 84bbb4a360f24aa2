"""What is wrong with a status, in words. Pure."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Literal, NamedTuple

from delivery.broker.consumption import Consumption
from delivery.broker.group import STABLE
from delivery.status import Status
from delivery.status.words import age

Kind = Literal[
    "nobody_consumes", "partition_unread", "stuck", "behind", "lost_to_retention", "wrong_schema"
]

# Records that wait for longer, by their own timestamps, are late.
BEHIND_AFTER = timedelta(minutes=5)

# With members, and records that wait: so long after the last one they do not move.
STUCK_AFTER = timedelta(minutes=1)


class Finding(NamedTuple):
    """One thing that is wrong. `kind` is for programs."""

    kind: Kind
    text: str


def findings(status: Status, behind_after: timedelta = BEHIND_AFTER) -> list[Finding]:
    """Each thing that is wrong; none where all is well. Open dead letters are work, not a fault."""
    found = []
    if status.log and status.log.wrong_schema:
        found.append(Finding("wrong_schema", status.log.wrong_schema))
    if status.consumption:
        found += _of_group(status, status.consumption)
        found += _of_lag(status, status.consumption, behind_after)
    return found


def _of_group(status: Status, consumption: Consumption) -> Iterator[Finding]:
    group = consumption.group
    if not group.members:
        yield Finding(
            "nobody_consumes",
            f"nobody consumes: no member in group {group.name}, {waiting(status)}",
        )
    elif group.state == STABLE:  # in between a partition changes hands
        held = group.held
        for p in consumption.partitions:
            if (p.topic, p.partition) not in held:
                yield Finding(
                    "partition_unread",
                    f"no member of group {group.name} reads {p.topic}/{p.partition}, "
                    f"where {p.lag:,} records wait",
                )


def _of_lag(status: Status, consumption: Consumption, behind_after: timedelta) -> Iterator[Finding]:
    if lost := sum(p.lost for p in consumption.partitions):
        yield Finding(
            "lost_to_retention", f"{lost:,} records were deleted by retention before they were read"
        )
    if not consumption.group.members or status.oldest is None:
        return
    silent = _silence(status)
    if silent is not None and min(silent, status.oldest) > STUCK_AFTER:
        yield Finding(
            "stuck",
            f"the workers do not move: {waiting(status)}, and no record has reached the log for "
            f"{age(silent)}; their log says why",
        )
    elif status.oldest > behind_after:
        yield Finding("behind", f"the workers are behind: {waiting(status)}")


def _silence(status: Status) -> timedelta | None:
    """For how long no record has reached the log; None where that is not known."""
    if status.log is None or status.log.wrong_schema:
        return None
    last = status.log.last_consumed_at
    return status.oldest if last is None else status.now - last


def waiting(status: Status) -> str:
    """How much waits, and for how long: `3,000 records wait, oldest 12 min`."""
    if not status.waiting:
        return "no record waits"
    number = f"{status.waiting:,} record{'s wait' if status.waiting > 1 else ' waits'}"
    return number if status.oldest is None else f"{number}, oldest {age(status.oldest)}"
