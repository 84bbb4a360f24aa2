"""`delivery verify`"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal

import typer

from delivery import settings
from delivery import verify as check
from delivery.broker import topic
from delivery.cli import live_line, output, times, verify_notes
from delivery.domain.event import Contract
from delivery.domain.record import UNKNOWN_TOPIC_ID
from delivery.errors import SettingsError, UnavailableError
from delivery.postgres import database
from delivery.settings import KafkaSettings
from delivery.verify import Allowed, Finding, Progress
from delivery.verify.shares import default_number

FOUND = 1  # exit code


def verify(
    since: Annotated[
        datetime | None,
        typer.Option(parser=times.parsed, metavar="TIME", help="Only what arrived then or later."),
    ] = None,
    output_format: Annotated[
        Literal["text", "json"],
        typer.Option("--format", help="json is one object a line."),
    ] = "text",
    database_only: Annotated[
        bool,
        typer.Option("--database-only", help="Leave Kafka alone, also where its settings are set."),
    ] = False,
    processes: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="So many compare a large log. Each takes a core."),
    ] = None,
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

    Ten million events take about two minutes of CPU time, half of it PostgreSQL's.
    It sorts the log on its disk, and needs there about the space of the log. A log
    of half a million events and more is compared by a process for each core that
    verify may use, but by four at most, unless --processes says how many; each
    connects to the database, and has 80 MB. Through a pooler, on Citus and with
    --since it is always one.

    With --since the check takes a time that grows with what arrived since then,
    and not with the log: it can run every hour, over the last two. A TIME is
    15min, 2h or 7d before now, 10:00, yesterday 18:30 KST or ISO 8601, in
    DELIVERY_DISPLAY_TIMEZONE (UTC unless set) where it names no zone. It proves
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
    with _topic(database_only) as source:
        committed = _committed(source) if source else {}  # before the database's moment
        records = partial(_records, source) if source else _no_records
        with database.snapshot(url, "delivery verify") as connection:
            topic_id = source.topic_id if source else UNKNOWN_TOPIC_ID
            found = check.findings(
                connection,
                contract,
                committed,
                records,
                progress,
                since,
                topic_id,
                Allowed(url, processes or default_number()),
            )
            count = _written(
                live_line.below(found, partial(verify_notes.line, progress)), output_format
            )
            is_unproved = bool(source) and not committed and check.is_anything_consumed(connection)
        verify_notes.of_database(progress, count)
        verify_notes.of_archive(progress)
        if source:
            verify_notes.of_topic(source, committed, progress)
        if count:
            raise typer.Exit(FOUND)
        if source and is_unproved:
            _require_known_group(source)


@contextmanager
def _topic(database_only: bool) -> Iterator[topic.Topic | None]:
    kafka = None if database_only else _kafka()
    if kafka is None:
        yield None
        return
    with ExitStack() as stack:
        with _or_without_kafka():
            source = stack.enter_context(topic.opened(kafka))
        yield source


@contextmanager
def _or_without_kafka() -> Iterator[None]:
    try:
        yield
    except UnavailableError as error:
        raise UnavailableError(f"{error}; --database-only leaves Kafka alone") from error


def _records(source: topic.Topic, *gap: Any) -> Iterator[int]:
    with _or_without_kafka():
        yield from source.records(*gap)


def _committed(source: topic.Topic) -> dict[tuple[str, int], int]:
    with _or_without_kafka():
        return source.committed()


def _kafka() -> KafkaSettings | None:
    kafka = settings.load_if_set(KafkaSettings)
    if kafka is None:
        output.note("the topic is not checked: DELIVERY_KAFKA_BOOTSTRAP_SERVERS is not set")
    return kafka


def _require_known_group(source: topic.Topic) -> None:
    """Raises SettingsError where the group has not even begun: the log is another group's."""
    with _or_without_kafka():
        if source.members() or source.committed():  # by now
            return
    raise SettingsError(
        f"nothing is proved of topic {source.settings.kafka_topic}, of which group "
        f"{source.settings.kafka_group_id} has committed no offset, while the log holds records: "
        "check DELIVERY_KAFKA_GROUP_ID and DELIVERY_KAFKA_TOPIC (--database-only leaves Kafka "
        "alone)"
    )


def _no_records(*_gap: object) -> Iterator[int]:
    return iter(())


def _written(findings: Iterable[Finding], output_format: str) -> int:
    """Writes the findings as they come, and returns how many there were."""
    if output_format == "json":
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
