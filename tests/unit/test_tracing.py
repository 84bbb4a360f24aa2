"""Spans of batches: what they are called, what they count, and what they are linked to."""

from collections import Counter

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from delivery.domain.record import Header, Record
from delivery.inbox.transaction import BatchResult
from delivery.monitoring.recorder import NoOpRecorder
from delivery.tracing.recorder import TracingRecorder, contexts

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01".encode()


def record(offset: int, *headers: Header, partition: int = 0) -> Record:
    return Record("orders", partition, offset, None, None, b"Mrs. Kim", headers)


class Heard(NoOpRecorder):
    """What the recorder behind hears."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def polled(self) -> None:
        self.calls.append("polled")

    def retry(self) -> None:
        self.calls.append("retry")

    def lost(self, records: int) -> None:
        self.calls.append(f"lost {records}")


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def recorder(exporter: InMemorySpanExporter, heard: Heard) -> TracingRecorder:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return TracingRecorder(heard, provider, "orders", "group-delivery")


def only_span(exporter: InMemorySpanExporter) -> ReadableSpan:
    (span,) = exporter.get_finished_spans()
    return span


def test_a_batch_is_a_span_with_its_counts_and_a_link_to_each_trace(
    recorder: TracingRecorder, exporter: InMemorySpanExporter
) -> None:
    other = f"00-{TRACE[::-1]}-{SPAN}-00".encode()
    recorder.polled()
    recorder.result(result(created=2))
    recorder.result(result(created=1, stale=1))
    recorder.batch(
        [
            record(1, ("traceparent", PARENT), ("tracestate", b"vendor=x")),
            record(2, ("traceparent", PARENT)),
            record(3, partition=1),
            record(4, ("traceparent", other), partition=1),
        ]
    )
    span = only_span(exporter)
    assert (span.name, span.kind) == ("process orders", SpanKind.CONSUMER)
    assert dict(span.attributes or {}) == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "orders",
        "messaging.consumer.group.name": "group-delivery",
        "messaging.batch.message_count": 4,
        "delivery.partitions": (0, 1),
        "delivery.outcome.created": 3,
        "delivery.outcome.stale": 1,
    }
    assert [f"{link.context.trace_id:032x}" for link in span.links] == [TRACE, TRACE[::-1]]
    assert span.links[0].context.trace_state["vendor"] == "x"
    assert span.status.status_code is StatusCode.UNSET
    assert span.start_time
    assert span.end_time
    assert span.start_time <= span.end_time


def result(**outcomes: int) -> BatchResult:
    return BatchResult(Counter(outcomes), [])


def test_each_batch_begins_with_its_poll(
    recorder: TracingRecorder, exporter: InMemorySpanExporter
) -> None:
    for offset in (1, 2):
        recorder.polled()
        recorder.result(result(created=1))
        recorder.batch([record(offset)])
    first, second = exporter.get_finished_spans()
    assert first.end_time
    assert second.start_time
    assert first.end_time <= second.start_time
    assert (second.attributes or {})["delivery.outcome.created"] == 1
    assert first.context
    assert second.context
    assert first.context.trace_id != second.context.trace_id


def test_a_database_that_is_away_is_an_error(
    recorder: TracingRecorder, exporter: InMemorySpanExporter, heard: Heard
) -> None:
    recorder.polled()
    recorder.retry()
    recorder.lost(3)
    assert only_span(exporter).status.status_code is StatusCode.ERROR
    assert heard.calls == ["polled", "retry", "lost 3"]


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"00-0-0-01",
        f"00-{'0' * 32}-{SPAN}-01".encode(),
        f"00-{TRACE}-{'0' * 16}-01".encode(),
        f"ff-{TRACE}-{SPAN}-01".encode(),
        b"\xff" * 55,
        None,
    ],
    ids=str,
)
def test_a_header_that_is_no_trace_s_is_left_out(header: bytes | None) -> None:
    assert list(contexts([record(1, ("traceparent", header))])) == []


def test_what_a_record_holds_is_in_no_span(
    recorder: TracingRecorder, exporter: InMemorySpanExporter
) -> None:
    recorder.polled()
    recorder.batch([record(1, ("traceparent", PARENT), ("user", b"Mrs. Kim"))])
    assert "Kim" not in only_span(exporter).to_json()
