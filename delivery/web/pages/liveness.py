"""Is it alive: who reads the topic, what waits since when, and what is wrong with that. Pure."""

from datetime import datetime
from typing import Any, Literal, NamedTuple

from delivery.broker.consumption import Consumption
from delivery.broker.group import STABLE, Group
from delivery.broker.lag import Behind
from delivery.status import Log, Status
from delivery.status.findings import BEHIND_AFTER, findings
from delivery.status.words import age
from delivery.web.lag import Earlier, LagStatus

# A partition's standing, and the outcome whose colour it has.
Standing = Literal["no reader", "late", "catching up", "up to date"]
COLOURS: dict[Standing, str] = {
    "no reader": "rejected",
    "late": "rejected",
    "catching up": "conflict",
    "up to date": "created",
}


class Partition(NamedTuple):
    """A partition, in words."""

    name: str
    lag: int
    oldest: str | None
    standing: Standing
    colour: str


def described(
    latest: LagStatus,
    now: datetime,
    last_consumed_at: datetime | None,
    wrong_schema: str | None = None,
) -> dict[str, Any]:
    """What the page shows. `now` is the database's time."""
    seen = None
    if latest.partitions is not None and latest.group is not None:
        seen = Consumption(latest.group, latest.partitions)
    log = Log(now=now, last_consumed_at=last_consumed_at, wrong_schema=wrong_schema)
    status = Status(log, seen)
    partitions = latest.partitions or []
    return {
        "findings": [finding.text for finding in findings(status)],
        "last_record": last_consumed_at and f"{age(now - last_consumed_at)} ago",
        "behind": None if seen is None else seen.waiting,
        "trend": latest.earlier and _trend(status.waiting, latest.earlier),
        "partitions": [_partition(p, latest.group, now) for p in partitions],
        "members": _members(latest.group),
        "no_lag": latest.why,
    }


def _members(group: Group | None) -> list[dict[str, str]]:
    return [
        {
            "name": member.member_id,
            "host": member.host,
            "partitions": ", ".join(f"{topic}/{number}" for topic, number in member.partitions),
        }
        for member in (group.members if group else ())
    ]


def _partition(p: Behind, group: Group | None, now: datetime) -> Partition:
    standing = _standing(p, group, now)
    oldest = None if p.oldest is None else age(now - p.oldest)
    return Partition(f"{p.topic}/{p.partition}", p.lag, oldest, standing, COLOURS[standing])


def _standing(p: Behind, group: Group | None, now: datetime) -> Standing:
    settled = group if group and (group.state == STABLE or not group.members) else None
    if settled and (p.topic, p.partition) not in settled.held:
        return "no reader"
    if p.oldest is not None and now - p.oldest > BEHIND_AFTER:
        return "late"
    return "catching up" if p.lag else "up to date"


def _trend(waiting: int, earlier: Earlier) -> str:
    change = waiting - earlier.waiting
    if not change:
        return f"as many as {age(earlier.ago)} ago"
    return f"{abs(change):,} {'more' if change > 0 else 'fewer'} than {age(earlier.ago)} ago"
