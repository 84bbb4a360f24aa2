"""A worker's spans as a collector receives them, and a worker whose collector is away."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from kafka import KafkaProducer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from service import Service
from stream import stream

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
EVENT = b'{"event": {"orderId": 900001}, "createdAt": [2026,1,1,0,0]}'


class Collector(ThreadingHTTPServer):
    """Takes OTLP over HTTP, and keeps it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[ExportTraceServiceRequest] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/traces":
            self.server.received.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_collector_receives_a_span_that_is_linked_to_the_producer_s(
    service: Service, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    with closing(KafkaProducer(bootstrap_servers=service.bootstrap_servers)) as producer:
        header = ("traceparent", f"00-{TRACE}-{SPAN}-01".encode())
        producer.send(service.topic, EVENT, headers=[header])
        producer.flush()
    assert service.drain(tracing="true") == {"created": 1}
    resources = [each for request in collector.received for each in request.resource_spans]
    names = {
        attribute.value.string_value
        for resource in resources
        for attribute in resource.resource.attributes
        if attribute.key == "service.name"
    }
    assert names == {"delivery-worker"}
    spans = [span for each in resources for scope in each.scope_spans for span in scope.spans]
    links = {(link.trace_id.hex(), link.span_id.hex()) for span in spans for link in span.links}
    assert links == {(TRACE, SPAN)}
    assert {span.name for span in spans} == {f"process {service.topic}"}


def test_a_collector_that_is_away_holds_up_no_record(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    service.publish(stream(7, 200))
    assert sum(service.drain(tracing="true").values()) == 200


def test_a_worker_without_tracing_sends_nothing_and_imports_nothing_of_it(
    service: Service, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    service.publish(stream(8, 10))
    service.drain()
    assert collector.received == []
    code = "import sys, delivery.worker.start; sys.exit('opentelemetry' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_worker_that_lacks_the_library_says_what_to_install(service: Service) -> None:
    code = (
        "import sys; sys.modules['opentelemetry'] = None; "
        "sys.argv = ['delivery', 'worker', '--drain']; from delivery import cli; "
        "sys.exit(cli.run())"
    )
    worker = service.run("-c", code, tracing="true")
    assert worker.exit_code() == 2
    assert "pip install 'delivery[otel]'" in worker.stderr().splitlines()[-1]
