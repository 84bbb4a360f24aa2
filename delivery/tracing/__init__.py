"""What a worker does as OpenTelemetry spans: off, unless `DELIVERY_TRACING` is true."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from delivery.errors import SettingsError
from delivery.monitoring.recorder import Recorder
from delivery.settings import KafkaSettings, TracingSettings

FLUSH_S = 1.0  # at the end, for the last spans; a collector that is away holds nobody up


@contextmanager
def traced(
    settings: TracingSettings, kafka: KafkaSettings, recorder: Recorder
) -> Iterator[Recorder]:
    """The recorder itself; or one that passes on to it what it is told, and makes spans of that.

    Where spans go, and under which name, OpenTelemetry's own variables say
    (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_SERVICE_NAME`). Raises SettingsError where the extra is
    not installed.
    """
    if not settings.tracing:
        yield recorder
        return
    try:
        from delivery.tracing.recorder import TracingRecorder, exporting
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"DELIVERY_TRACING is true, which needs {error.name}: pip install 'delivery[otel]'"
        ) from error
    provider = exporting()
    try:
        yield TracingRecorder(recorder, provider, kafka.kafka_topic, kafka.kafka_group_id)
    finally:
        # The worker has said its last word. `force_flush` heeds no timeout of its own.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        flush = Thread(target=provider.force_flush, name="flush", daemon=True)
        flush.start()
        flush.join(FLUSH_S)
