"""`delivery announce`"""

from typing import Annotated

import structlog
import typer

from delivery import log, monitoring, settings
from delivery.announce import outbox
from delivery.announce.announcer import Announcer
from delivery.announce.wire import Wire
from delivery.cli import output
from delivery.errors import SettingsError
from delivery.postgres import database
from delivery.settings import (
    AnnounceSettings,
    DatabaseSettings,
    KafkaSettings,
    MonitoringSettings,
    WorkerSettings,
)
from delivery.worker.shutdown import stop_on_signals

LEFT_BEHIND = "what is announced is in the topic, and the next announcer finds it there"


def announce(
    drain: Annotated[
        bool, typer.Option("--drain", help="Stop when everything is announced.")
    ] = False,
    switch_off: Annotated[
        bool,
        typer.Option(
            "--switch-off",
            help="Note that workers announce no more, for `delivery verify`, and stop.",
        ),
    ] = False,
) -> None:
    """Announce created deliveries to DELIVERY_ANNOUNCE_TOPIC.

    Where that is set for the workers too, each delivery that they create is
    announced once: as the order service reads it, in a Kafka transaction, after
    its database commit. What was announced, when, and where it lies in the topic
    is in the table `announcements`.

    It runs until SIGTERM or SIGINT. Run as many as you like: one announces, the
    others stand by and take over after DELIVERY_KAFKA_SESSION_TIMEOUT. Readers
    of the topic need isolation.level=read_committed to see each announcement
    once. Times are local ones in DELIVERY_EVENT_TIMEZONE.

    To end it for good: stop the workers, `delivery announce --drain`, take
    DELIVERY_ANNOUNCE_TOPIC away, `delivery announce --switch-off`.
    """
    if switch_off:
        _switch_off()
        return
    settings.check(
        DatabaseSettings, KafkaSettings, WorkerSettings, MonitoringSettings, AnnounceSettings
    )
    wanted = settings.load(AnnounceSettings)
    if wanted.announce_topic is None:
        raise SettingsError(
            "DELIVERY_ANNOUNCE_TOPIC is not set: the topic to announce to, for the workers too"
        )
    _run(wanted, wanted.announce_topic, drain)


def _run(wanted: AnnounceSettings, topic: str, drain: bool) -> None:
    kafka = settings.load(KafkaSettings).model_copy(update={"kafka_topic": topic})
    worker = settings.load(WorkerSettings)
    url = settings.load(DatabaseSettings).database_url
    log.configure(worker.log_level)
    with database.connect(url, database.ANNOUNCER) as connection:
        database.require_migrated(connection)
    wire = Wire(
        worker.event_timezone,
        wanted.announce_time_format,
        wanted.announce_event_type,
        wanted.announce_type_id,
        wanted.announce_status,
    )
    announcer = Announcer(
        url,
        kafka,
        topic,
        wanted.announce_transactional_id,
        wire,
        kafka.kafka_session_timeout,
        monitoring.start_announcer(settings.load(MonitoringSettings), url),
    )
    try:
        with stop_on_signals(LEFT_BEHIND) as stop:
            announcer.run(stop, drain)
    finally:
        structlog.get_logger().info("stopped", announced=announcer.announced)


def _switch_off() -> None:
    url = settings.load(DatabaseSettings).database_url
    with database.connect(url, database.ANNOUNCER) as connection:
        database.require_migrated(connection)
        is_news = outbox.switch_off(connection)
    output.note("switched off" if is_news else "it is not switched on")
