"""OpenID Connect: a provider tells who somebody is (OpenID Connect Core 1.0, the code flow).

Authlib does the protocol: discovery, state, nonce, PKCE (RFC 7636), the exchange of the code, the
ID token's signature and claims. What is decided here is whom we take that for.
"""

from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import structlog
from starlette.requests import Request
from starlette.responses import Response

from delivery.errors import SettingsError
from delivery.settings import OidcSettings
from delivery.web.login.sessions import CALLBACK

try:
    from authlib.integrations.base_client.errors import MismatchingStateError, OAuthError
    from authlib.integrations.starlette_client import OAuth, StarletteOAuth2App
    from httpx2 import HTTPError
    from joserfc.errors import JoseError
except ModuleNotFoundError as error:
    raise SettingsError(
        f"DELIVERY_WEB_LOGIN is oidc, which needs {error.name}: pip install 'delivery[login]'"
    ) from error

log = structlog.get_logger()

TIMEOUT_S = 5.0  # for each answer of the provider
LEEWAY_S = 60  # between its clock and ours
LONGEST_NAME = 249  # characters
_LOGGED = 50  # characters of an error's code, which anybody can send

_DISCOVERY = "/.well-known/openid-configuration"
# Signed by a key that only the provider has; `none` and those by a shared secret are left out.
_ALGORITHMS = {
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
}


# What Authlib raises where the provider does not answer, or with something else than it should.
_UNUSABLE = (HTTPError, ValueError, RuntimeError, TypeError, AttributeError, KeyError)


class LoginError(Exception):
    """Why somebody is not logged in: a status of HTTP, and a sentence."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Person(NamedTuple):
    """Whom the provider has told of."""

    name: str
    groups: frozenset[str]


class Provider:
    """The provider, as this service's settings name it. It is asked for the first time at a login:
    the pages start without it.
    """

    def __init__(self, settings: OidcSettings, path_prefix: str) -> None:
        """Raises SettingsError where the provider would lead people elsewhere than here."""
        ours = path_prefix + CALLBACK
        if urlsplit(settings.web_oidc_redirect_url).path != ours:
            raise SettingsError(
                f"DELIVERY_WEB_OIDC_REDIRECT_URL must have the path {ours}: that is where "
                "DELIVERY_WEB_PATH_PREFIX puts it"
            )
        secret = settings.web_oidc_client_secret
        self.session_lifetime = settings.web_oidc_session_lifetime
        self._settings = settings
        self._client: StarletteOAuth2App = OAuth().register(
            "delivery",
            client_id=settings.web_oidc_client_id,
            client_secret=secret.get_secret_value() if secret else None,
            server_metadata_url=settings.web_oidc_issuer + _DISCOVERY,
            client_kwargs={
                "scope": settings.web_oidc_scope,
                "code_challenge_method": "S256",
                "token_endpoint_auth_method": "client_secret_basic" if secret else "none",
                "timeout": TIMEOUT_S,
            },
        )

    async def begin(self, request: Request) -> Response:
        """Leads to the provider. Raises LoginError."""
        try:
            await self._discover()
            answer: Response = await self._client.authorize_redirect(
                request, self._settings.web_oidc_redirect_url
            )
        except _UNUSABLE as error:
            raise self._unavailable(error) from error
        return answer

    async def finish(self, request: Request) -> Person:
        """Whom the provider says it is, when it has led back here. Raises LoginError."""
        try:
            await self._discover()
            token = await self._client.authorize_access_token(  # type: ignore[no-untyped-call]
                request, leeway=LEEWAY_S
            )
            claims = await self._claims(token)
        except MismatchingStateError as error:
            raise LoginError(
                HTTPStatus.BAD_REQUEST,
                "this login was begun in another browser, or too long ago: begin again",
            ) from error
        except OAuthError as error:
            log.warning("the provider refused a login", error=str(error.error)[:_LOGGED])
            raise LoginError(HTTPStatus.FORBIDDEN, "the provider let nobody in") from error
        except JoseError as error:
            log.warning("a token of the provider is not valid", error=type(error).__name__)
            raise _invalid() from error
        except _UNUSABLE as error:
            raise self._unavailable(error) from error
        return self._person(claims)

    async def _discover(self) -> None:
        """Raises one of _UNUSABLE where there is no such provider."""
        found = await self._client.load_server_metadata()
        if found.get("issuer", "").rstrip("/") != self._settings.web_oidc_issuer:
            raise ValueError("the provider has another issuer than DELIVERY_WEB_OIDC_ISSUER")
        offered = found.get("id_token_signing_alg_values_supported") or ["RS256"]
        found["id_token_signing_alg_values_supported"] = [
            name for name in offered if name in _ALGORITHMS
        ] or ["RS256"]

    async def _claims(self, token: Mapping[str, Any]) -> Mapping[str, Any]:
        """Those of the ID token, and those that the provider tells only of whom it is asked."""
        claims: dict[str, Any] | None = token.get("userinfo")
        if claims is None:
            raise _invalid()
        wanted = {self._settings.web_oidc_name_claim, self._settings.web_oidc_groups_claim}
        if wanted <= claims.keys() or "userinfo_endpoint" not in self._client.server_metadata:
            return claims
        told = await self._client.userinfo(token=token)
        if told.get("sub") != claims["sub"]:  # section 5.3.2
            raise _invalid()
        return {**told, **claims}

    def _person(self, claims: Mapping[str, Any]) -> Person:
        claim = self._settings.web_oidc_name_claim
        name = claims.get(claim)
        if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
            log.warning("the provider names nobody", claim=claim)
            raise LoginError(HTTPStatus.FORBIDDEN, f"the provider gives no {claim} for you")
        # Whoever may choose an address at the provider could choose somebody else's.
        if claim == "email" and claims.get("email_verified") is not True:
            raise LoginError(HTTPStatus.FORBIDDEN, "your e-mail address is not verified")
        return Person(name, _texts(claims.get(self._settings.web_oidc_groups_claim)))

    def _unavailable(self, error: Exception) -> LoginError:
        """What it said so far is forgotten. An error's text may repeat what was sent: only one of
        ours is told.
        """
        self._client.server_metadata.clear()
        ours = str(error) if "DELIVERY_" in str(error) else type(error).__name__
        log.warning("the provider of the login can't be used", error=ours)
        detail = "the provider of the login does not answer as it should: try again soon"
        return LoginError(HTTPStatus.SERVICE_UNAVAILABLE, detail)


def of_use(groups: Collection[str], named: Collection[str]) -> set[str]:
    """The groups that some setting names: a cookie has no room for hundreds."""
    return {group for group in groups if f"group:{group}" in named}


def _texts(value: object) -> frozenset[str]:
    found = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return frozenset(text for text in found if isinstance(text, str))


def _invalid() -> LoginError:
    return LoginError(HTTPStatus.FORBIDDEN, "what the provider says of you is not valid: try again")
