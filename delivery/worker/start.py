"""A worker from its settings to its end: what `delivery worker` runs."""

from typing import NamedTuple

import structlog

from delivery import log, monitoring, settings, tracing
from delivery.announce import outbox
from delivery.broker import consumer
from delivery.domain.event import Contract
from delivery.inbox.rejection_limit import RejectionLimit
from delivery.inbox.transaction import Outcomes
from delivery.postgres import database, durability
from delivery.postgres.commit_watch import CommitWatch
from delivery.postgres.prepared import PreparedWatch
from delivery.worker.loop import Worker, collect_garbage_rarely
from delivery.worker.shutdown import stop_on_signals


class Ended(NamedTuple):
    """What a worker did, and whether it was stopped before the end that it was to reach."""

    totals: Outcomes
    was_stopped: bool


def run(drain: bool) -> Ended:
    """Consumes until SIGTERM or SIGINT, or with `drain` until the present end of the topic.

    Raises SettingsError, NotMigratedError or UnavailableError where it can't begin; what else ends
    it is said at `Worker.run`.
    """
    settings.check(
        settings.DatabaseSettings,
        settings.KafkaSettings,
        settings.WorkerSettings,
        settings.MonitoringSettings,
        settings.TracingSettings,
        settings.AnnounceSettings,
    )
    kafka = settings.load(settings.KafkaSettings)
    worker = settings.load(settings.WorkerSettings)
    url = settings.load(settings.DatabaseSettings).database_url
    log.configure(worker.log_level)
    session = database.Session(url, kafka.kafka_session_timeout)
    database.require_migrated(session.connection())
    doubts = durability.doubts(session.connection())
    is_announcing = settings.load(settings.AnnounceSettings).announce_topic is not None
    to_announce = outbox.of_worker(session.connection(), is_announcing)
    contract = Contract(worker.event_timezone, worker.max_future_skew)
    limit = RejectionLimit(worker.max_rejected_in_a_row)
    with stop_on_signals() as stop, consumer.connected(kafka, worker.batch_size) as member:
        commits = CommitWatch(url, session.current)
        prepared = PreparedWatch(url, session.current)
        monitored = settings.load(settings.MonitoringSettings)
        watched = monitoring.start(monitored, url, member, commits.why)
        with tracing.traced(settings.load(settings.TracingSettings), kafka, watched) as recorder:
            member.join(wait_for_topic=not drain)
            end = member.end() if drain else None
            collect_garbage_rarely()
            structlog.get_logger().info(
                "consuming", topic=kafka.kafka_topic, group=kafka.kafka_group_id, drain=drain
            )
            for doubt in doubts:
                structlog.get_logger().warning(doubt)
            loop = Worker(member, session, contract, limit, recorder, to_announce)
            try:
                with commits.running(recorder.heartbeat), prepared.running():
                    loop.run(stop, end)
            finally:
                session.drop()
                structlog.get_logger().info("stopped", **loop.totals)
        return Ended(loop.totals, stop.requested)
