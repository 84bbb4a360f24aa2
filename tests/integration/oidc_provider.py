"""An OpenID Connect provider on this machine: it signs its tokens, and lies where it is told to."""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT_ID = "delivery"
CLIENT_SECRET = "a secret: of two words"


def new_key(kid: str = "1") -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig"}, private=True)


@dataclass
class Provider:
    """What it says of whoever logs in, and what it was asked."""

    issuer: str = ""
    key: RSAKey = field(default_factory=new_key)  # of which it publishes the public part
    signs_with: RSAKey | None = None  # another one, if it lies
    signs: bool = True
    said: dict[str, Any] = field(
        default_factory=lambda: {"sub": "7", "email": "kim@example.com", "email_verified": True}
    )
    lies: dict[str, Any] = field(default_factory=dict)  # claims that are not as they should be
    told: dict[str, Any] | None = None  # by its userinfo endpoint, if it has one
    metadata: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)  # instead, by path
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def get(self, path: str, query: dict[str, str], headers: Any) -> tuple[int, Any]:
        match path:
            case "/.well-known/openid-configuration":
                return 200, self._discovery() | self.metadata
            case "/keys":
                return 200, {"keys": [self.key.as_dict(private=False)]}
            case "/userinfo" if headers["Authorization"] == "Bearer an access token":
                return 200, self.told
            case "/authorize":
                code = secrets.token_urlsafe()
                self._codes[code] = query
                back = urlencode({"code": code, "state": query["state"]})
                return 302, f"{query['redirect_uri']}?{back}"
        return 404, {}

    def post(self, path: str, form: dict[str, str], headers: Any) -> tuple[int, Any]:
        """The token endpoint. It knows its client, and each code is good for once."""
        pair = f"{CLIENT_ID}:{quote(CLIENT_SECRET, safe='')}"
        plain = f"{CLIENT_ID}:{CLIENT_SECRET}"
        given = base64.b64decode(headers["Authorization"].removeprefix("Basic ")).decode()
        if path != "/token" or given not in {pair, plain}:
            return 401, {"error": "invalid_client"}
        asked = self._codes.pop(form["code"], None)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if asked is None or asked["code_challenge"] != challenge:
            return 400, {"error": "invalid_grant"}
        assert asked["code_challenge_method"] == "S256"
        assert asked["redirect_uri"] == form["redirect_uri"]
        return 200, {
            "access_token": "an access token",
            "token_type": "Bearer",
            "id_token": self._id_token(asked["nonce"]),
        }

    def _discovery(self) -> dict[str, Any]:
        found = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "id_token_signing_alg_values_supported": ["RS256", "none"],
        }
        return found | ({"userinfo_endpoint": f"{self.issuer}/userinfo"} if self.told else {})

    def _id_token(self, nonce: str) -> str:
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 300}
        claims |= {"nonce": nonce} | self.said | self.lies
        if not self.signs:
            header = {"alg": "none"}
            return ".".join([*(_encoded(part) for part in (header, claims)), ""])
        key = self.signs_with or self.key
        header = {"alg": "RS256", "kid": key.kid}
        return jwt.encode(header, claims, key)


def _encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, provider: Provider, *arguments: Any) -> None:
        self._provider = provider
        super().__init__(*arguments)

    def do_GET(self) -> None:
        path, query = self._asked()
        self._answer(path, *self._provider.get(path, query, self.headers))

    def do_POST(self) -> None:
        path, _ = self._asked()
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._answer(path, *self._provider.post(path, _flat(text), self.headers))

    def _asked(self) -> tuple[str, dict[str, str]]:
        url = urlsplit(self.path)
        query = _flat(url.query)
        self._provider.asked.append((url.path, query))
        return url.path, query

    def _answer(self, path: str, status: int, said: Any) -> None:
        status, said = self._provider.answers.get(path, (status, said))
        self.send_response(status)
        if status == 302:
            self.send_header("Location", said)
        body = said.encode() if isinstance(said, str) else json.dumps(said).encode()
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def _flat(text: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(text).items()}


@contextmanager
def oidc_provider() -> Iterator[Provider]:
    """A provider that runs until the end of the block."""
    provider = Provider()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, provider)) as server:
        provider.issuer = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield provider
        server.shutdown()
        thread.join()
