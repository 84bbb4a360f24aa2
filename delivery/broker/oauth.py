"""Tokens for OAUTHBEARER, by OAuth's client credentials (RFC 6749, 4.4)."""

import base64
import json
import ssl
import threading
import time
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import quote_plus, urlencode
from urllib.request import Request, urlopen

from kafka.errors import KafkaConnectionError, SaslAuthenticationFailedError
from kafka.net.sasl.oauth import AbstractTokenProvider

from delivery.errors import SettingsError, UnavailableError
from delivery.settings import KafkaSettings

# kafka-python asks in the thread that sends the heartbeats.
TIMEOUT_S = 4.0

# A token is asked for anew when this part of its life is over.
USED_FOR = 0.8

_URL = "DELIVERY_KAFKA_SASL_OAUTH_TOKEN_URL"


class Token(NamedTuple):
    """A token, and when (monotonic) it is time for the next one."""

    value: str = ""
    renew_at: float = 0.0


class ClientCredentials(AbstractTokenProvider):  # type: ignore[misc]  # kafka-python is untyped
    """One token for all connections, as long as it is good.

    `token` raises kafka-python's errors, caused by a SettingsError or an UnavailableError that says
    why: another error would end kafka-python's loops.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        super().__init__()
        self._settings = settings
        self._token = Token()
        self._lock = threading.Lock()

    def token(self) -> str:
        """The token to log in with."""
        with self._lock:
            if time.monotonic() >= self._token.renew_at:
                try:
                    self._token = self._ask()
                except SettingsError as error:
                    raise SaslAuthenticationFailedError(str(error)) from error
                except UnavailableError as error:
                    raise KafkaConnectionError(str(error)) from error
            return self._token.value

    def _ask(self) -> Token:
        begun = time.monotonic()
        try:
            with urlopen(self._request(), timeout=TIMEOUT_S, context=self._context()) as answer:  # noqa: S310
                granted = json.loads(answer.read())
            lifetime_s = float(granted.get("expires_in", 0))
            return Token(str(granted["access_token"]), begun + USED_FOR * lifetime_s)
        except HTTPError as error:
            raise self._refusal(error) from None
        except (OSError, URLError) as error:
            raise self._unreachable(error) from None
        except (ValueError, TypeError, LookupError, AttributeError):
            raise SettingsError(f"{_URL} gives no token") from None

    def _request(self) -> Request:
        settings, secret = self._settings, self._settings.kafka_sasl_oauth_client_secret
        form = {"grant_type": "client_credentials"}
        if settings.kafka_sasl_oauth_scope:
            form["scope"] = settings.kafka_sasl_oauth_scope
        client = settings.kafka_sasl_oauth_client_id or ""
        pair = f"{quote_plus(client)}:{quote_plus(secret.get_secret_value() if secret else '')}"
        headers = {
            "Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}",
            "Accept": "application/json",
        }
        url = settings.kafka_sasl_oauth_token_url or ""
        return Request(url, urlencode(form).encode(), headers)  # noqa: S310  # http or https

    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._settings.kafka_sasl_oauth_cafile)

    def _refusal(self, error: HTTPError) -> Exception:
        with error:
            if error.code >= 500 or error.code == 429:
                return UnavailableError(f"{_URL} answers {error.code}")
            reason = _reason(error.read())
        return SettingsError(
            f"{_URL} refuses DELIVERY_KAFKA_SASL_OAUTH_CLIENT_ID and _CLIENT_SECRET: "
            f"{error.code}{reason}"
        )

    def _unreachable(self, error: OSError) -> Exception:
        cause = getattr(error, "reason", error)
        if isinstance(cause, ssl.SSLCertVerificationError):
            why = cause.verify_message
            return SettingsError(
                f"{_URL} has a certificate that is not trusted ({why}): "
                "check DELIVERY_KAFKA_SASL_OAUTH_CAFILE"
            )
        return UnavailableError(f"{_URL} can't be reached: {cause}")


def _reason(body: bytes) -> str:
    """What the server calls the error: `invalid_client`, for instance."""
    try:
        said: Any = json.loads(body)["error"]
    except (ValueError, TypeError, LookupError):
        return ""
    return f" {said}" if isinstance(said, str) else ""
