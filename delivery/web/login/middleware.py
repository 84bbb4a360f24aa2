"""ASGI middleware: nobody without a login comes further, and no form of another site does."""

from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import urlsplit

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from delivery.errors import SettingsError
from delivery.settings import WebSettings
from delivery.web.identity import Identity, identity
from delivery.web.login.basic import Basic, UsersFile
from delivery.web.login.method import Method, Refused
from delivery.web.login.proxy import Proxy
from delivery.web.login.sessions import Sessions
from delivery.web.middleware import PROBES

log = structlog.get_logger()

OnRefusal = Callable[[Scope, Refused], Response]

_SAFE = ("GET", "HEAD", "OPTIONS")


def method(settings: WebSettings) -> Method:
    """The way to log in that the settings choose. Raises SettingsError where it can't work."""
    if settings.web_login == "oidc":
        return Sessions()
    if settings.web_login == "basic":
        assert settings.web_users_file is not None  # noqa: S101 (the settings see to it)
        return Basic(UsersFile(settings.web_users_file))
    return Proxy(settings.web_trusted_proxies, settings.web_user_header, settings.web_groups_header)


class Login:
    """Lets those in who are logged in and may read; `identity_of` then says who they are."""

    def __init__(
        self, app: ASGIApp, settings: WebSettings, method: Method, on_refusal: OnRefusal
    ) -> None:
        self.app = app
        self.settings = settings
        self.method = method
        self.on_refusal = on_refusal  # makes the response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in (*PROBES, *self.method.open_paths):
            await self.app(scope, receive, send)
            return
        found = await run_in_threadpool(self._find, scope)  # a hash is slow on purpose
        if isinstance(found, Identity):
            scope.setdefault("state", {})["identity"] = found
            await self.app(scope, receive, send)
            return
        log.warning("refused a request", status=found.status, why=found.detail)
        response = self.on_refusal(scope, found)
        if found.status == HTTPStatus.UNAUTHORIZED and self.method.challenge:
            response.headers["WWW-Authenticate"] = self.method.challenge
        await response(scope, receive, send)

    def _find(self, scope: Scope) -> Identity | Refused:
        headers = Headers(scope=scope)
        try:
            who = self.method.who(scope, headers)
        except SettingsError as error:
            log.critical("nobody can log in", error=str(error))
            return Refused(HTTPStatus.SERVICE_UNAVAILABLE, "nobody can log in: see the log")
        if isinstance(who, Refused):
            return who
        if scope["method"] not in _SAFE and not is_own_form(headers):
            return Refused(HTTPStatus.FORBIDDEN, "a form of another site was sent to this one")
        found = identity(*who, self.settings)
        if "reader" not in found.roles:
            return Refused(
                HTTPStatus.FORBIDDEN, "your login may not look: see DELIVERY_WEB_READERS"
            )
        return found


def is_own_form(headers: Headers) -> bool:
    """Whether a request that changes something comes from a page of ours, or from no browser.

    Browsers say where a request comes from (Fetch Metadata), and over plain HTTP only its Origin:
    another site can have neither changed. What sends none of them has no user whose login it could
    borrow.
    """
    if (site := headers.get("sec-fetch-site")) is not None:
        return site == "same-origin"
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")
