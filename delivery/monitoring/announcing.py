"""An announcer's figures for Prometheus, and its health. Their names are public."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, make_wsgi_app
from pydantic import SecretStr

from delivery.announce import announcements
from delivery.announce.announcements import Lag
from delivery.monitoring import endpoints, health
from delivery.monitoring.single_flight import SingleFlight
from delivery.settings import MonitoringSettings

LAG_INTERVAL_S = 5.0


@dataclass
class AnnouncerMetrics:
    """The recorder of an announcer that Prometheus watches."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    last_heartbeat: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        self._announcements = counter(
            "delivery_announcements", "Announcements that are committed and marked."
        )
        self._retries = counter(
            "delivery_announcer_retries", "Tries that found a server away, or the turn gone."
        )
        self._active = gauge(
            "delivery_announcer_active", "1 where this one has the turn, 0 where it stands by."
        )
        self._rows = gauge(
            "delivery_outbox_rows",
            f"Deliveries still to be announced, at most {announcements.COUNTED}.",
        )
        self._age = gauge(
            "delivery_outbox_age_seconds", "For how long the oldest of them has been."
        )
        turned = gauge("delivery_last_loop_timestamp_seconds", "When the loop last turned.")
        turned.set_function(lambda: time.time() - (time.monotonic() - self.last_heartbeat))
        ProcessCollector(registry=self.registry)

    def turned(self, is_active: bool) -> None:
        """Notes the time, and whether it has the turn."""
        self.last_heartbeat = time.monotonic()
        self._active.set(is_active)

    def announced(self, announcements: int) -> None:
        """Counts them."""
        self._announcements.inc(announcements)

    def retried(self) -> None:
        """Counts it. It waits now, and has no turn."""
        self.turned(is_active=False)
        self._retries.inc()

    def lag(self, lag: Lag) -> None:
        """Sets how far the announcements are behind. Any thread may call this."""
        self._rows.set(lag.rows)
        self._age.set(lag.age.total_seconds())


@dataclass
class OutboxLag:
    """Reads the lag at a request for the metrics, and gives it to `show`.

    While the database does not answer, the last figures stay.
    """

    flight: SingleFlight[Lag]
    show: Callable[[Lag], None]
    _due: float = 0.0

    def refresh(self) -> None:
        """Reads it, but not more often than every `LAG_INTERVAL_S`. Never raises."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + LAG_INTERVAL_S
        with suppress(Exception):  # /readyz says it
            self.show(self.flight.result(health.ANSWER_TIMEOUT_S))


def serve(settings: MonitoringSettings, port: int, url: SecretStr) -> AnnouncerMetrics:
    """The recorder; the endpoints answer from now on. Raises SettingsError."""
    metrics = AnnouncerMetrics()
    lag = OutboxLag(SingleFlight(partial(health.outbox_lag, url)), metrics.lag)
    schema = SingleFlight(partial(health.require_schema, url))
    app = endpoints.application(
        {
            "/metrics": endpoints.after(lag.refresh, make_wsgi_app(metrics.registry)),
            "/healthz": endpoints.checked(lambda: health.health(metrics.last_heartbeat)),
            "/readyz": endpoints.checked(lambda: health.schema_readiness(schema)),
        }
    )
    endpoints.serve(settings.metrics_host, port, app)
    return metrics
