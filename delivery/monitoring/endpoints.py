"""The endpoints of a worker, on a port of its own, in threads beside its loop."""

import json
import socket
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from socketserver import TCPServer, ThreadingMixIn
from threading import Thread
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from delivery.errors import SettingsError
from delivery.monitoring.health import Checks

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

REQUEST_TIMEOUT_S = 10  # for a client to send its request


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
        return endpoint(environ, start)

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

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # the library's own asks the name server for our name
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_TIMEOUT_S

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the library's name
        """Logs nothing: probes come every few seconds."""
