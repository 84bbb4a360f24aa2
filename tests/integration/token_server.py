"""An OAuth server on this machine that grants tokens to one client by its credentials."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

CLIENT_ID = "worker"
CLIENT_SECRET = "client:secret with spaces"  # quoted twice on its way


@dataclass
class TokenServer:
    """What it says, and what it was asked."""

    url: str = ""
    status: int = 200
    lifetime_s: float = 3600.0
    subject: str = CLIENT_ID
    scopes: list[str | None] = field(default_factory=list)  # of the requests so far

    def answer(self, authorization: str, form: dict[str, list[str]]) -> tuple[int, Any]:
        self.scopes.append(form.get("scope", [None])[0])
        if self.status != 200:
            return self.status, {"error": "server_error"}
        pair = f"{CLIENT_ID}:client%3Asecret+with+spaces"
        if authorization != f"Basic {base64.b64encode(pair.encode()).decode()}":
            return 401, {"error": "invalid_client"}
        return 200, {"access_token": self._token(), "expires_in": self.lifetime_s}

    def _token(self) -> str:
        """Not signed: the broker of the tests takes it so."""
        now = time.time()
        claims = {"sub": self.subject, "iat": now, "exp": now + self.lifetime_s}
        return ".".join([_encoded({"alg": "none"}), _encoded(claims), ""])


def _encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, server: TokenServer, *arguments: Any) -> None:
        self._tokens = server
        super().__init__(*arguments)

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        status, said = self._tokens.answer(self.headers["Authorization"], form)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(said).encode())

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@contextmanager
def token_server() -> Iterator[TokenServer]:
    """A server that runs until the end of the block."""
    tokens = TokenServer()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, tokens)) as server:
        tokens.url = f"http://127.0.0.1:{server.server_port}/token"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield tokens
        server.shutdown()
