"""`delivery stats`"""

from typing import Annotated, Any, Literal

import typer

from delivery import settings
from delivery.broker import lag, topic
from delivery.broker.lag import Behind
from delivery.cli import output
from delivery.dead_letters import queries
from delivery.errors import ForbiddenError, UnavailableError
from delivery.history import stats as history_stats
from delivery.history.stats import Log
from delivery.postgres import database
from delivery.settings import KafkaSettings


def stats(
    output_format: Annotated[
        Literal["table", "json"], typer.Option("--format", help="json is one object on one line.")
    ] = "table",
) -> None:
    """Count records by outcome, deliveries, and open dead letters.

    Deliveries are counted by status, dead letters by reason. It reads the whole
    log: about half a second for each million records. Where Kafka is set it
    also tells how many records wait in each partition; `delivery status` tells
    since when, and whether anybody reads them.

    \b
    Examples:
      delivery stats
      delivery stats --format json | jq .outcomes.conflict
    """
    url = settings.load(settings.DatabaseSettings).database_url
    with database.snapshot(url, "delivery stats") as connection:
        log = history_stats.count(connection)
        deliveries = history_stats.deliveries(connection)
        letters = queries.count_open(connection)
    waiting = _lag()
    if output_format == "json":
        output.json_lines(
            [_members(log, deliveries, letters) | {"lag": waiting and _lags(waiting)}]
        )
    else:
        _tables(log, deliveries, letters, waiting)
    if log.last_consumed_at is None:
        output.note(
            "the log is empty: `delivery worker` fills it with the records of the topic, "
            "`delivery publish` sends some"
        )


def _lag() -> list[Behind] | None:
    """None where Kafka is not set, or can't tell."""
    kafka = settings.load_if_set(KafkaSettings)
    if kafka is None:
        return None
    try:
        with topic.opened(kafka) as source:
            return lag.behind(source)
    except (UnavailableError, ForbiddenError) as error:
        output.note(f"the lag is not known: {error}")
        return None


def _lags(waiting: list[Behind]) -> list[dict[str, Any]]:
    return [{"partition": f"{p.topic}/{p.partition}", "lag": p.lag} for p in waiting]


def _members(log: Log, deliveries: dict[str, int], letters: dict[str, int]) -> dict[str, Any]:
    return {
        "outcomes": log.outcomes,
        "deliveries": deliveries,
        "dead_letters": {"open": sum(letters.values()), "by_reason": letters},
        "first_consumed_at": log.first_consumed_at,
        "last_consumed_at": log.last_consumed_at,
    }


def _tables(
    log: Log, deliveries: dict[str, int], letters: dict[str, int], waiting: list[Behind] | None
) -> None:
    output.table(("outcome", "records"), list(log.outcomes.items()))
    output.text()
    output.table(("status", "deliveries"), list(deliveries.items()))
    output.text()
    open_letters = {reason: count for reason, count in letters.items() if count}
    output.table(
        ("open dead letters", "records"),
        [*open_letters.items(), ("all", sum(letters.values()))],
    )
    output.text()
    if waiting:
        output.table(("partition", "lag"), [tuple(p.values()) for p in _lags(waiting)])
        output.text()
    output.table(
        ("first consumed_at", "last consumed_at"), [(log.first_consumed_at, log.last_consumed_at)]
    )
