"""The endpoints of a worker, on a port of its own, in threads beside its loop."""

import io
import json
import socket
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from http import HTTPStatus
from socketserver import TCPServer, ThreadingMixIn
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, TextIO
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog

from delivery.errors import SettingsError
from delivery.monitoring.health import Checks

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

log = structlog.get_logger()

READ_TIMEOUT_S = 10  # for a client to send something, or to read something

# The worker needs its file descriptors for Kafka and PostgreSQL. Beyond this number the oldest
# connection makes room: probes and Prometheus take milliseconds.
MOST_CONNECTIONS = 16


def checked(check: Callable[[], Checks]) -> "WSGIApplication":
    """An endpoint in JSON: 200 where all checks are green, 503 otherwise.

    It names each check, and why it is red.
    """

    def respond(_environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        checks = check()
        is_green = not any(checks.values())
        results = {
            name: {"ok": False, "why": why} if why else {"ok": True} for name, why in checks.items()
        }
        status = HTTPStatus.OK if is_green else HTTPStatus.SERVICE_UNAVAILABLE
        body = json.dumps({"ok": is_green, "checks": results}) + "\n"
        return _response(start, status, "application/json", body)

    return respond


def after(prepare: Callable[[], None], endpoint: "WSGIApplication") -> "WSGIApplication":
    """The endpoint, with a call of `prepare` before each of its responses."""

    def respond(environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        prepare()
        return endpoint(environ, start)

    return respond


def application(endpoints: "Mapping[str, WSGIApplication]") -> "WSGIApplication":
    """The endpoints by their paths. The response to any other path lists them."""

    def respond(environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        endpoint = endpoints.get(environ["PATH_INFO"])
        if endpoint is None:
            paths = "".join(f"{path}\n" for path in endpoints)
            return _response(start, HTTPStatus.NOT_FOUND, "text/plain", f"There are:\n{paths}")
        if environ["REQUEST_METHOD"] != "GET":
            return _response(start, HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", "GET only\n")
        try:
            return endpoint(environ, start)
        except Exception:
            log.error("a bug in an endpoint", path=environ["PATH_INFO"], exc_info=True)
            body = "a bug: it stands in the log\n"
            return _response(start, HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", body)

    return respond


def serve(host: str, port: int, app: "WSGIApplication") -> None:
    """Serves on the port until the process ends, each request in a thread of its own.

    Raises SettingsError where the port can't be had.
    """
    try:
        _Server.address_family = socket.getaddrinfo(host, port, flags=socket.AI_PASSIVE)[0][0]
        server = make_server(host, port, app, _Server, _Handler)
    except (OSError, UnicodeError) as error:  # the latter: no host has such a name
        why = getattr(error, "strerror", None) or "it is not the name of a host"
        raise SettingsError(
            f"DELIVERY_METRICS_PORT: can't listen on {host}:{port} ({why}): choose "
            "another port, or another DELIVERY_METRICS_HOST"
        ) from error
    Thread(target=server.serve_forever, name="endpoints", daemon=True).start()


def _response(start: "StartResponse", status: HTTPStatus, kind: str, body: str) -> Iterable[bytes]:
    content = body.encode()
    headers = [("Content-Type", f"{kind}; charset=utf-8"), ("Content-Length", str(len(content)))]
    start(f"{status.value} {status.phrase}", headers)
    return [content]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True  # a request that hangs must not hold up the end of the worker

    def __init__(self, *arguments: Any) -> None:
        self._lock = Lock()
        self._open: dict[socket.socket, None] = {}  # the oldest first
        super().__init__(*arguments)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # the library's own asks the name server for our name
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open[request] = None
            if len(self._open) > MOST_CONNECTIONS:
                oldest = next(iter(self._open))
                del self._open[oldest]
                with suppress(OSError):  # its client has gone
                    oldest.shutdown(socket.SHUT_RDWR)  # wakes its thread, which closes it
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Instead of the library's traceback between the lines of JSON."""
        log.error("a bug in the endpoints", exc_info=True)


class _Handler(WSGIRequestHandler):
    timeout = READ_TIMEOUT_S

    def handle(self) -> None:
        with suppress(OSError):  # the client says nothing, or has gone
            super().handle()

    def get_stderr(self) -> TextIO:
        return io.StringIO()  # the library's tracebacks; `application` logs what is a bug

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the library's name
        """Logs nothing: probes come every few seconds."""
