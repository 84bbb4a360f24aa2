"""`delivery worker`"""

import time
from typing import Annotated

import structlog
import typer

from delivery import log, monitoring, settings
from delivery.broker import consumer, offsets
from delivery.domain.event import Contract
from delivery.errors import SettingsError
from delivery.inbox.rejection_limit import Flood
from delivery.monitoring.recorder import Recorder
from delivery.postgres import database
from delivery.worker import loop
from delivery.worker.shutdown import Stop, stop_on_signals

TOPIC_EVERY = 5.0  # seconds between two looks for a topic that is not there yet


def worker(
    drain: Annotated[
        bool, typer.Option("--drain", help="Stop at the end offsets that are seen at the start.")
    ] = False,
) -> None:
    """Consume records until SIGTERM or SIGINT.

    Then fetching stops, the batch in hand is finished and its offsets are committed. Run as many
    as the topic has partitions.
    """
    settings.check(
        settings.DatabaseSettings,
        settings.KafkaSettings,
        settings.WorkerSettings,
        settings.MonitoringSettings,
    )
    kafka = settings.load(settings.KafkaSettings)
    how = settings.load(settings.WorkerSettings)
    url = settings.load(settings.DatabaseSettings).database_url
    log.configure(how.log_level)
    session = database.Session(url, right=kafka.kafka_session_timeout)
    database.require_migrated(session.connection())
    contract = Contract(how.event_timezone, how.max_future_skew)
    with stop_on_signals() as stop, consumer.connected(kafka, how.batch_size) as member:
        recorder = monitoring.start(settings.load(settings.MonitoringSettings), url, member)
        _join(member, kafka.kafka_topic, stop, recorder, wait=not drain)
        end = offsets.end(member, kafka.kafka_topic) if drain else None
        loop.collect_garbage_rarely()
        structlog.get_logger().info(
            "consuming", topic=kafka.kafka_topic, group=kafka.kafka_group_id, drain=drain
        )
        flood = Flood(how.max_rejected_in_a_row)
        totals = loop.Worker(member, session, contract, flood, recorder).run(stop, end)
    session.drop()
    structlog.get_logger().info("stopped", **totals)


def _join(
    member: consumer.Consumer, topic: str, stop: Stop, recorder: Recorder, wait: bool
) -> None:
    """Joins the group as soon as there is the topic. Raises SettingsError where it can't `wait`."""
    while not stop.requested and not consumer.join(member, topic):
        missing = f"Kafka has no topic {topic}: check DELIVERY_KAFKA_TOPIC, or publish to it first"
        if not wait:
            raise SettingsError(missing)
        structlog.get_logger().warning(missing, seconds=TOPIC_EVERY)
        deadline = time.monotonic() + TOPIC_EVERY
        while not stop.requested and time.monotonic() < deadline:
            recorder.polled()
            time.sleep(0.1)
