"""What a worker shows to those who watch it: its metrics and its health, where a port is set."""

from functools import partial

from pydantic import SecretStr

from delivery.broker import membership, offsets
from delivery.broker.consumer import Consumer
from delivery.monitoring.meter import Meter, Silent
from delivery.settings import MonitoringSettings


def watched(settings: MonitoringSettings, url: SecretStr, member: Consumer) -> Meter:
    """The meter of a worker, and the endpoints where they are wanted.

    Raises SettingsError where the port can't be had.
    """
    if settings.metrics_port is None:
        return Silent()
    return _shown(settings.metrics_host, settings.metrics_port, url, member)


def _shown(host: str, port: int, url: SecretStr, member: Consumer) -> Meter:
    # Imported here, for a worker without endpoints to start without what they need.
    from prometheus_client import make_wsgi_app

    from delivery.monitoring import endpoints, health
    from delivery.monitoring.metrics import Metrics
    from delivery.monitoring.questions import Question

    metrics = Metrics(partial(offsets.lags, member))
    schema = Question(partial(health.require_schema, url))
    unresolved = Question(partial(health.unresolved_letters, url))
    letters = health.DeadLetters(unresolved, metrics.dead_letters)
    app = endpoints.application(
        {
            "/metrics": endpoints.after(letters.refresh, make_wsgi_app(metrics.registry)),
            "/healthz": endpoints.checked(lambda: health.health(metrics.last_turn)),
            "/readyz": endpoints.checked(
                lambda: health.readiness(membership.why_absent(member), schema)
            ),
        }
    )
    endpoints.serve(host, port, app)
    return metrics
