"""One span for each batch, linked to the traces that its records come from.

The names are those of OpenTelemetry's semantic conventions for messaging. A batch is of many
traces, so that it is a trace of its own with links, as they recommend. Links are found by the
header `traceparent` (W3C Trace Context), and are as many as OTEL_SPAN_LINK_COUNT_LIMIT allows.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    Link,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    get_current_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import Attributes, AttributeValue

from delivery import __version__
from delivery.domain.record import Record, offset_ranges
from delivery.inbox.transaction import BatchResult, Outcomes
from delivery.monitoring.recorder import Recorder

SERVICE = "delivery-worker"  # unless OTEL_SERVICE_NAME says otherwise

_CONTEXT = {"traceparent", "tracestate"}
_propagator = TraceContextTextMapPropagator()


def exporting() -> TracerProvider:
    """Sends spans by OTLP over HTTP, from a thread of its own."""
    of_variables = OTELResourceDetector().detect()
    resource = Resource.create({SERVICE_NAME: SERVICE}).merge(of_variables)
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class TracingRecorder:
    """Passes on to another recorder what it is told, and makes spans of it."""

    def __init__(self, inner: Recorder, provider: TracerProvider, topic: str, group: str) -> None:
        self._inner = inner
        self._tracer: Tracer = provider.get_tracer("delivery", __version__)
        self._topic = topic
        self._common = {
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": topic,
            "messaging.consumer.group.name": group,
        }
        self._began = 0  # of the batch in hand, nanoseconds since 1970
        self._outcomes: Outcomes = Counter()

    def polled(self) -> None:
        self._began = time.time_ns()
        self._outcomes = Counter()
        self._inner.polled()

    def heartbeat(self) -> None:
        self._inner.heartbeat()

    def result(self, result: BatchResult) -> None:
        self._outcomes += result.outcomes
        self._inner.result(result)

    def batch(self, batch: Sequence[Record]) -> None:
        ranges = offset_ranges(batch)
        attributes: dict[str, AttributeValue] = {
            **self._common,
            "messaging.batch.message_count": len(batch),
            "delivery.partitions": sorted(partition for _, partition in ranges),
            **{f"delivery.outcome.{name}": count for name, count in self._outcomes.items()},
        }
        self._span(attributes, [Link(context) for context in contexts(batch)], Status())
        self._inner.batch(batch)

    def retry(self) -> None:
        self._span(self._common, [], Status(StatusCode.ERROR, "the database is unavailable"))
        self._inner.retry()

    def lost(self, records: int) -> None:
        self._inner.lost(records)

    def lacked(self, records: int) -> None:
        self._inner.lacked(records)

    def _span(self, attributes: Attributes, links: list[Link], status: Status) -> None:
        span = self._tracer.start_span(
            f"process {self._topic}",
            kind=SpanKind.CONSUMER,
            attributes=attributes,
            links=links,
            start_time=self._began,
        )
        span.set_status(status)
        span.end()


def contexts(batch: Sequence[Record]) -> Iterator[SpanContext]:
    """Where the records come from, each once; none of a record whose header says nothing valid."""
    seen: set[tuple[int, int]] = set()
    for record in batch:
        if not record.headers:
            continue
        carrier = {
            name: value.decode("ascii", "replace")
            for name, value in record.headers
            if name in _CONTEXT and value is not None
        }
        if "traceparent" not in carrier:
            continue
        found = get_current_span(_propagator.extract(carrier)).get_span_context()
        if found.is_valid and (found.trace_id, found.span_id) not in seen:
            seen.add((found.trace_id, found.span_id))
            yield found
