"""`delivery verify`"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from delivery import settings
from delivery import verify as check
from delivery.broker import topic
from delivery.cli import output
from delivery.domain.event import Contract
from delivery.domain.month import listed
from delivery.domain.record import UNKNOWN_TOPIC_ID
from delivery.errors import SettingsError, UnavailableError
from delivery.history import parse
from delivery.postgres import database
from delivery.settings import KafkaSettings
from delivery.verify import Finding, Progress

FOUND = 1  # exit code


def _time(text: str) -> datetime:
    try:
        return parse.time(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def verify(
    since: Annotated[
        datetime | None,
        typer.Option(parser=_time, metavar="TIME", help="Only what arrived then or later."),
    ] = None,
    form: Annotated[
        Literal["text", "json"],
        typer.Option("--format", help="json is one object a line."),
    ] = "text",
    database_only: Annotated[
        bool,
        typer.Option("--database-only", help="Leave Kafka alone, also where its settings are set."),
    ] = False,
) -> None:
    """Prove the database against the guarantee and the topic.

    Reads everything at one moment and changes nothing, also beside workers that
    run. Each finding is a line on stdout that begins with its kind:

    \b
      missing_delivery        the log shaped a delivery that is not there
      extra_delivery          a delivery that no event of the log shaped
      different_delivery      columns that are not those of the last event
      contradicted_outcome    an outcome that can't be, after the log before it
      undecodable_payload     a row whose payload breaks the contract
      payload_of_another_key  a row whose payload says another order or time
      duplicate_of_no_event   a duplicate of a key that the log does not hold
      coordinates_twice       a record that is in the logs more than once
      replayed_nowhere        a replayed dead letter whose record is in no log
      unaccounted_record      a record in the topic, below the group's committed
                              offset, that is in no log
      unannounced_delivery    created while the outbox was on, and neither announced
                              nor to be
      announced_and_open      announced, and in the outbox still
      announced_nothing       announced or to be, and the log created no delivery

    A `status` that another service moved is no finding. Give the
    DELIVERY_EVENT_TIMEZONE that the workers have: times without an offset are
    read in it. A topic that was deleted and made anew under its name has the old
    coordinates again, and another id: each is checked by itself.

    With DELIVERY_KAFKA_BOOTSTRAP_SERVERS set, offsets that no log names are
    looked up in the topic. What retention has deleted there can't be checked,
    and is counted. A group that has committed nothing, where the log holds
    records, is no proof: exit code 2. Without it the database alone is checked. Where it is set
    and Kafka can't be reached the exit code is 3; --database-only goes on
    without Kafka.

    Where another service was taken over (`delivery import`), a partition is
    checked from its first record in the logs on: those before are that one's.

    Ten million events take about 90 seconds of CPU time, half of it PostgreSQL's.
    It sorts the log on its disk, and needs there about the space of the log.

    With --since the check takes a time that grows with what arrived since then,
    and not with the log: it can run every hour, over the last two. A TIME is
    ISO 8601, in UTC where it has no offset, or a duration before now: 90s, 15m,
    2h, 7d. It proves
    - of each order with an event that arrived since then: all that the full
      check proves of an order, with all its events, also the older ones;
    - of each duplicate that arrived since then: that the log holds its key;
    - of each partition, from 10,000 offsets before the first record that
      arrived since then up to the committed offset: that each record is in the
      logs, and once, also where the other row is older.
    It leaves to the full check: orders without an event since then, so also
    deliveries that no event shaped; and offsets before those.

    \b
    Exit codes: 0 no finding, 1 findings, 2 settings, 3 no service.
    Examples:
      delivery verify
      delivery verify --since 2h
      delivery verify --format json | jq -r .finding | sort | uniq -c
      DELIVERY_EVENT_TIMEZONE=Asia/Seoul delivery verify --database-only
    """
    url = settings.load(settings.DatabaseSettings).database_url
    contract = Contract(settings.load(settings.WorkerSettings).event_timezone)
    progress = Progress()
    with _topic(database_only) as there:
        committed = _committed(there) if there else {}  # before the database's moment
        records = partial(_records, there) if there else _no_records
        with database.snapshot(url, "delivery verify") as connection:
            topic_id = there.topic_id if there else UNKNOWN_TOPIC_ID
            found = check.findings(
                connection, contract, committed, records, progress, since, topic_id
            )
            count = _written(_with_progress(found, progress), form)
            is_unproved = bool(there) and not committed and check.is_anything_consumed(connection)
        _note_counts(progress, count)
        _note_archive(progress)
        if there:
            _note_topic(there, committed, progress)
        if count:
            raise typer.Exit(FOUND)
        if there and is_unproved:
            _require_known_group(there)


@contextmanager
def _topic(database_only: bool) -> Iterator[topic.Topic | None]:
    kafka = None if database_only else _kafka()
    if kafka is None:
        yield None
        return
    with ExitStack() as stack:
        with _or_without_kafka():
            there = stack.enter_context(topic.opened(kafka))
        yield there


@contextmanager
def _or_without_kafka() -> Iterator[None]:
    try:
        yield
    except UnavailableError as error:
        raise UnavailableError(f"{error}; --database-only leaves Kafka alone") from error


def _records(there: topic.Topic, *gap: Any) -> Iterator[int]:
    with _or_without_kafka():
        yield from there.records(*gap)


def _committed(there: topic.Topic) -> dict[tuple[str, int], int]:
    with _or_without_kafka():
        return there.committed()


def _kafka() -> KafkaSettings | None:
    kafka = settings.load_if_set(KafkaSettings)
    if kafka is None:
        output.note("the topic is not checked: DELIVERY_KAFKA_BOOTSTRAP_SERVERS is not set")
    return kafka


def _require_known_group(there: topic.Topic) -> None:
    """Raises SettingsError where the group has not even begun: the log is another group's."""
    with _or_without_kafka():
        if there.members() or there.committed():  # by now
            return
    raise SettingsError(
        f"nothing is proved of topic {there.settings.kafka_topic}, of which group "
        f"{there.settings.kafka_group_id} has committed no offset, while the log holds records: "
        "check DELIVERY_KAFKA_GROUP_ID and DELIVERY_KAFKA_TOPIC (--database-only leaves Kafka "
        "alone)"
    )


def _no_records(*_gap: object) -> Iterator[int]:
    return iter(())


def _with_progress(findings: Iterable[Finding], progress: Progress) -> Iterator[Finding]:
    """The findings; on a terminal with a line below them that says how far the check is."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield from findings
        return
    with Live(
        get_renderable=lambda: Text(f"{progress.doing}: {progress.rows:,} rows compared"),
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as live:
        for finding in findings:
            live.stop()  # leaves the terminal to whoever writes the finding
            yield finding
            live.start()


def _written(findings: Iterable[Finding], form: str) -> int:
    """Writes the findings as they come, and returns how many there were."""
    if form == "json":
        return output.json_lines(map(_members, findings))
    count = 0
    for count, finding in enumerate(findings, 1):  # noqa: B007 (the last one is the result)
        output.text(str(finding))
    return count


def _members(finding: Finding) -> dict[str, Any]:
    """A finding with the column names of `event_history`."""
    name, partition, offset = finding.coordinates or (None, None, None)
    return {
        "finding": finding.kind,
        "order_id": finding.order_id,
        "event_time": finding.event_time,
        "record_topic": name,
        "record_partition": partition,
        "record_offset": offset,
        "columns": finding.columns,
        "detail": finding.detail,
    }


def _note_counts(progress: Progress, count: int) -> None:
    if not count and not progress.rows:
        output.note("nothing to verify yet: the log is empty, and there is no delivery")
        return
    compared = (
        f"events: {progress.events}, deliveries: {progress.deliveries}, "
        f"duplicates: {progress.duplicates}, dead letters: {progress.dead_letters}"
    )
    output.note(f"{compared}; findings: {count or 'none'}")


def _note_archive(progress: Progress) -> None:
    if events := progress.archive.events:
        output.note(
            f"months archived, and so not compared: {listed(events)} (events: "
            f"{sum(events.values())}); the offsets of their records are accounted for"
        )


def _note_topic(
    there: topic.Topic, committed: dict[tuple[str, int], int], progress: Progress
) -> None:
    name, group = there.settings.kafka_topic, there.settings.kafka_group_id
    if not committed:
        output.note(f"topic {name} not checked: group {group} has committed no offset of it")
        return
    output.note(
        f"topic {name}: partitions of group {group}: {len(committed)}, offsets below the committed "
        f"ones that are in no log: {progress.offsets_in_no_log}, all looked up"
    )
    if progress.offsets_before_takeover:
        output.note(
            "offsets before the first in the logs, which the service before read, and so not "
            f"checked: {progress.offsets_before_takeover}"
        )
    if there.deleted:
        output.note(
            f"of these, lost to retention before this check and so not verifiable: {there.deleted}"
        )
