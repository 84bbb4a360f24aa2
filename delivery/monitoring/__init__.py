"""What a worker shows to those who watch it: its metrics and its health, where a port is set."""

from collections.abc import Callable
from functools import partial

from pydantic import SecretStr

from delivery.announce.recorder import NoOpRecorder as AnnounceNoOpRecorder
from delivery.announce.recorder import Recorder as AnnounceRecorder
from delivery.broker.consumer import GroupConsumer
from delivery.monitoring.recorder import NoOpRecorder, Recorder
from delivery.settings import MonitoringSettings

AskWhy = Callable[[], str | None]


def start(
    settings: MonitoringSettings, url: SecretStr, consumer: GroupConsumer, commit_waits: AskWhy
) -> Recorder:
    """The recorder of a worker. Where a port is set, the endpoints answer from now on.

    `commit_waits` returns why a COMMIT under way waits, or None. Raises SettingsError where the
    port can't be had.
    """
    if settings.metrics_port is None:
        return NoOpRecorder()
    return _served(settings.metrics_host, settings.metrics_port, url, consumer, commit_waits)


def start_announcer(settings: MonitoringSettings, url: SecretStr) -> AnnounceRecorder:
    """The recorder of an announcer, likewise."""
    if settings.metrics_port is None:
        return AnnounceNoOpRecorder()
    from delivery.monitoring import announcing

    return announcing.serve(settings, settings.metrics_port, url)


def _served(
    host: str, port: int, url: SecretStr, consumer: GroupConsumer, commit_waits: AskWhy
) -> Recorder:
    # Imported here: a worker without endpoints starts without what they need.
    from prometheus_client import make_wsgi_app

    from delivery.monitoring import endpoints, health
    from delivery.monitoring.metrics import Metrics
    from delivery.monitoring.single_flight import SingleFlight

    metrics = Metrics(consumer.lags)
    schema = SingleFlight(partial(health.require_schema, url))
    unresolved = SingleFlight(partial(health.unresolved_letters, url))
    letters = health.UnresolvedLetters(unresolved, metrics.dead_letters)
    app = endpoints.application(
        {
            "/metrics": endpoints.after(letters.refresh, make_wsgi_app(metrics.registry)),
            "/healthz": endpoints.checked(lambda: health.health(metrics.last_heartbeat)),
            "/readyz": endpoints.checked(
                lambda: health.readiness(consumer.absent_because(), schema, commit_waits())
            ),
        }
    )
    endpoints.serve(host, port, app)
    return metrics
