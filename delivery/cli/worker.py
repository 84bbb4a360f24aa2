"""`delivery worker`"""

from typing import Annotated

import structlog
import typer

from delivery import database, log, settings
from delivery import worker as loop
from delivery.broker import consumer
from delivery.event import Contract
from delivery.flood import Flood
from delivery.signals import stop_on_signals


def worker(
    drain: Annotated[
        bool, typer.Option("--drain", help="Stop at the end offsets that are seen at the start.")
    ] = False,
) -> None:
    """Consume records until SIGTERM or SIGINT.

    Then fetching stops, the batch in hand is finished and its offsets are committed. Run as many
    as the topic has partitions.
    """
    settings.check(settings.DatabaseSettings, settings.KafkaSettings, settings.WorkerSettings)
    kafka = settings.load(settings.KafkaSettings)
    how = settings.load(settings.WorkerSettings)
    url = settings.load(settings.DatabaseSettings).database_url
    log.configure(how.log_level)
    session = database.Session(url, right=kafka.kafka_session_timeout)
    database.require_migrated(session.connection())
    contract = Contract(how.event_timezone, how.max_future_skew)
    with stop_on_signals() as stop, consumer.subscribed(kafka, how.batch_size) as member:
        end = consumer.end(member, kafka.kafka_topic) if drain else None
        loop.collect_garbage_rarely()
        structlog.get_logger().info(
            "consuming", topic=kafka.kafka_topic, group=kafka.kafka_group_id, drain=drain
        )
        flood = Flood(how.max_rejected_in_a_row)
        totals = loop.Worker(member, session, contract, flood).run(stop, end)
    session.drop()
    structlog.get_logger().info("stopped", **totals)
