"""The login by an OpenID Connect provider, for DELIVERY_WEB_LOGIN=oidc."""

from datetime import timedelta
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings

from delivery.settings.values import CONFIG, HttpUrl, OneLine, SessionLifetime

CALLBACK = "/login/callback"


def _leads_back(value: str) -> str:
    if not urlsplit(value).path.endswith(CALLBACK) or "?" in value or "#" in value:
        raise ValueError(
            "must be the address of these pages followed by /login/callback, as the provider knows "
            "it: https://delivery.example.com/login/callback"
        )
    return value


def _is_safe(value: str) -> str:
    """The client's secret and the tokens go there."""
    found = urlsplit(value)
    if found.scheme != "https" and found.hostname not in {"127.0.0.1", "::1", "localhost"}:
        raise ValueError("must begin with https:// unless it is on this machine")
    return value.rstrip("/")


class OidcSettings(BaseSettings):
    """Who knows the people, and what this service is to it: a client with a redirect URI."""

    model_config = CONFIG

    web_oidc_issuer: Annotated[HttpUrl, AfterValidator(_is_safe)]
    web_oidc_client_id: OneLine
    web_oidc_client_secret: SecretStr | None = None  # a public client has none
    web_oidc_redirect_url: Annotated[HttpUrl, AfterValidator(_leads_back)]
    web_oidc_scope: OneLine = "openid email"
    web_oidc_name_claim: Annotated[OneLine, Field(min_length=1)] = "email"
    web_oidc_groups_claim: Annotated[OneLine, Field(min_length=1)] = "groups"
    web_oidc_session_lifetime: SessionLifetime = timedelta(hours=8)

    @property
    def is_secure(self) -> bool:
        """Whether browsers come by TLS: cookies are then for that alone."""
        return self.web_oidc_redirect_url.startswith("https:")
