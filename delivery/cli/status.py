"""`delivery status`"""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal, TypeVar

import typer

from delivery import settings
from delivery import status as status_of
from delivery.broker import consumption
from delivery.broker.consumption import Consumption
from delivery.broker.group import Member
from delivery.broker.lag import Behind
from delivery.cli import output
from delivery.errors import UnavailableError
from delivery.postgres import database, session
from delivery.settings import DatabaseSettings, KafkaSettings
from delivery.status import Log, Status
from delivery.status.findings import Finding, findings, waiting
from delivery.status.words import age

WRONG = 1  # exit code

PARTITIONS = ("partition", "committed", "end", "lag", "oldest")

LIMITS = session.of_reader(timedelta(seconds=10))

Side = TypeVar("Side")


def status(
    output_format: Annotated[
        Literal["table", "json"], typer.Option("--format", help="json is one object on one line.")
    ] = "table",
) -> None:
    """Say whether records are consumed, and what is wrong.

    Shows the group's members with their partitions, when the last record reached
    the log, how many records wait in each partition and since when (by their own
    timestamps), open dead letters, and the schema's revision. It joins no group,
    changes nothing, and takes milliseconds, however large the log is.

    \b
    Wrong is:
      nobody_consumes    no member is in the group
      partition_unread   a partition that no member reads
      stuck              members are there and records wait, but for a minute none
                         has reached the log
      behind             a record has waited for more than five minutes
      lost_to_retention  records were deleted before they were read
      wrong_schema       the tables are missing, or of another revision
    Open dead letters are shown, but are not wrong: `delivery dead-letters list`.

    Without READ on the topic it is not known since when records wait.

    \b
    Exit codes: 0 all is well, 1 something is wrong, 2 settings, 3 no service.
    Examples:
      delivery status
      delivery status --format json | jq -r '.findings[].text'
    """
    settings.check(DatabaseSettings, KafkaSettings)
    away: list[str] = []
    log = _or_away(_log, away)
    found = Status(log, _or_away(_consumption, away))
    wrong = findings(found)
    if output_format == "json":
        output.json_lines([_members(found, wrong, away)])
    else:
        _tables(found, wrong, away)
    if away:
        raise UnavailableError("; ".join(away))
    if wrong:
        raise typer.Exit(WRONG)


def _or_away(look: Callable[[], Side], away: list[str]) -> Side | None:
    """One service that is away is no reason not to show the other."""
    try:
        return look()
    except UnavailableError as error:
        away.append(str(error))
        return None


def _log() -> Log:
    url = settings.load(DatabaseSettings).database_url
    with database.connect(url, "delivery status", LIMITS, read_only=True) as connection:
        return status_of.read(connection)


def _consumption() -> Consumption:
    with consumption.opened(settings.load(KafkaSettings)) as look:
        return look()


def _members(found: Status, wrong: Sequence[Finding], away: Sequence[str]) -> dict[str, Any]:
    """The one object; null for what is not known."""
    log, seen, oldest = found.log, found.consumption, found.oldest
    return {
        "ok": not wrong and not away,
        "findings": [finding._asdict() for finding in wrong],
        "unreachable": list(away),
        "group": seen and seen.group.name,
        "state": seen and seen.group.state,
        "members": seen and [_member(member) for member in seen.group.members],
        "waiting": found.waiting if seen else None,
        "oldest_seconds": None if oldest is None else oldest.total_seconds(),
        "partitions": seen and [_partition(found, p) for p in seen.partitions],
        "last_consumed_at": log and log.last_consumed_at,
        "open_dead_letters": log and (None if log.wrong_schema else sum(log.open_letters.values())),
        "schema": log and {"revision": log.revision, "needed": database.REVISION},
    }


def _member(member: Member) -> dict[str, Any]:
    return vars(member) | {"partitions": [_name(*p) for p in member.partitions]}


def _partition(found: Status, p: Behind) -> dict[str, Any]:
    seconds = None if p.oldest is None else max(0.0, (found.now - p.oldest).total_seconds())
    return {
        "partition": _name(p.topic, p.partition),
        "committed": p.committed,
        "end": p.end,
        "lag": p.lag,
        "oldest_at": p.oldest and p.oldest.isoformat(),
        "oldest_seconds": seconds,
        "lost": p.lost,
    }


def _name(topic: str, partition: int) -> str:
    return f"{topic}/{partition}"


def _tables(found: Status, wrong: Sequence[Finding], away: Sequence[str]) -> None:
    for seen in filter(None, [found.consumption]):
        output.table(("member", "host", "partitions"), list(_member_rows(seen)))
        output.text()
        output.table(PARTITIONS, [_partition_row(found, p) for p in seen.partitions])
        output.text()
    output.table(("", ""), list(_lines(found)))
    output.text()
    for problem in [*away, *(finding.text for finding in wrong)]:
        output.text(f"WRONG: {problem}")
    if not wrong and not away:
        output.text("all is well")


def _member_rows(seen: Consumption) -> Iterator[tuple[str, str, str]]:
    for member in seen.group.members:
        yield member.member_id, member.host, " ".join(_name(*p) for p in member.partitions)


def _partition_row(found: Status, p: Behind) -> tuple[object, ...]:
    since = "" if p.oldest is None else age(found.now - p.oldest)
    return _name(p.topic, p.partition), p.committed, p.end, p.lag, since


def _lines(found: Status) -> Iterator[tuple[str, str]]:
    if found.consumption:
        group = found.consumption.group
        yield "group", f"{group.name}: {group.state}, {len(group.members)} members"
        yield "lag", waiting(found)
    if found.log and not found.log.wrong_schema:
        yield "last record", _last(found.log)
        yield "dead letters", f"{sum(found.log.open_letters.values()):,} open"
    if found.log:
        yield "schema", f"revision {found.log.revision}"


def _last(log: Log) -> str:
    last = log.last_consumed_at
    return "none yet" if last is None else f"{age(log.now - last)} ago"
