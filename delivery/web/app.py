"""The web application: its routes, what runs beside them, and how errors become responses."""

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles
from pydantic import SecretStr
from starlette.exceptions import HTTPException
from starlette.types import Scope

from delivery import __version__
from delivery.domain.event import Contract
from delivery.errors import NotMigratedError, UnavailableError
from delivery.postgres.sqlstate import was_cancelled
from delivery.settings import KafkaSettings, OidcSettings, WebSettings
from delivery.settings.values import LONGEST_SESSION_TIMEOUT
from delivery.web import health
from delivery.web.activity import Activity
from delivery.web.api import docs, problems
from delivery.web.api import routes as api
from delivery.web.api.problems import NotFoundError, Problem, WrongFieldError, problem
from delivery.web.compression import Compression
from delivery.web.hosts import AllowedHosts
from delivery.web.lag import Lag
from delivery.web.middleware import ResponseMiddleware
from delivery.web.pages import error_pages, formatting
from delivery.web.pages import routes as pages
from delivery.web.pages.display import VisitorsZone
from delivery.web.pages.language import VisitorsLanguage
from delivery.web.pool import Pool
from delivery.web.prefix import Prefix
from delivery.web.request_ids import RequestIds
from delivery.web.watermark import Watermark

if TYPE_CHECKING:
    from delivery.web.login.method import Refused

log = structlog.get_logger()

STATIC = Path(__file__).parent / "pages" / "static"

DESCRIPTION = (
    "What became of each record of the topic, from the permanent log. It only reads. "
    "Errors are problem details (RFC 9457)."
)


def create_app(
    settings: WebSettings,
    kafka: KafkaSettings | None = None,
    contract: Contract | None = None,
    oidc: OidcSettings | None = None,
) -> FastAPI:
    """The application. Without `kafka` it does not know the lag. By `contract` letters are
    replayed, where the pages may do that; `oidc` is the provider of that login.

    `app.state` has settings, pool, activity, watermark and lag. Nothing is connected before it is
    started.
    """
    app = FastAPI(
        title="delivery",
        version=__version__,
        description=DESCRIPTION,
        openapi_url=docs.OPENAPI_URL,
        openapi_tags=docs.TAGS,
        generate_unique_id_function=lambda route: route.name,
        docs_url=None,  # they load scripts from elsewhere
        redoc_url=None,
        lifespan=_running,
        redirect_slashes=False,  # a redirect would repeat the request's own Host header
    )
    app.state.settings = settings
    app.state.pool = Pool(
        settings.reader_url, settings.web_pool_size, settings.web_statement_timeout
    )
    app.state.activity = Activity(
        settings.reader_url, settings.web_activity_horizon, late_commit_window(kafka)
    )
    app.state.watermark = Watermark(settings.reader_url, late_commit_window(kafka))
    app.state.lag = Lag(kafka)
    app.openapi = partial(docs.described, app)  # type: ignore[method-assign]
    if settings.web_operator_database_url is not None:
        _let_act(app, settings.web_operator_database_url, contract or Contract())
    _route(app)
    _handle_errors(app)
    app.add_middleware(Compression)
    if settings.web_login != "none":
        _ask_for_login(app, settings)
    if oidc is not None:
        _begin_sessions(app, settings, oidc)
    app.add_middleware(
        AllowedHosts,
        names=(*settings.web_allowed_hosts, settings.web_host.lower()),
        on_refusal=_refused_host,
    )
    app.add_middleware(ResponseMiddleware, on_bug=_bug)
    app.add_middleware(VisitorsZone)
    app.add_middleware(VisitorsLanguage)
    app.add_middleware(Prefix, prefix=settings.web_path_prefix)
    app.add_middleware(RequestIds)  # the outermost one
    return app


@asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    parts = [app.state.pool, app.state.activity, app.state.watermark, app.state.lag]
    if runner := getattr(app.state, "runner", None):
        parts.append(runner)
    for part in parts:
        part.start()
    try:
        yield
    finally:
        for part in parts:
            part.stop()


def late_commit_window(kafka: KafkaSettings | None) -> timedelta:
    """How long a worker's transaction may last: Kafka's session timeout, where it is told here."""
    if kafka is None or "kafka_session_timeout" not in kafka.model_fields_set:
        return LONGEST_SESSION_TIMEOUT
    return kafka.kafka_session_timeout


def _ask_for_login(app: FastAPI, settings: WebSettings) -> None:
    """Lets nobody in without a login. It is imported for that alone, with its libraries."""
    from delivery.web.login.middleware import Login, method

    app.add_middleware(Login, settings=settings, method=method(settings), on_refusal=_refused_login)


def _begin_sessions(app: FastAPI, settings: WebSettings, oidc: OidcSettings) -> None:
    """Lets people log in at a provider. It is imported for that alone, with its libraries."""
    from delivery.web.login import routes, sessions
    from delivery.web.login.oidc import Provider
    from delivery.web.login.tokens import key

    app.state.provider = Provider(oidc, settings.web_path_prefix)
    app.include_router(routes.router)
    app.add_middleware(
        sessions.middleware,
        key=key(settings.web_session_key_file),
        lifetime=oidc.web_oidc_session_lifetime,
        path_prefix=settings.web_path_prefix,
        is_secure=oidc.is_secure,
    )


def _let_act(app: FastAPI, url: SecretStr, contract: Contract) -> None:
    """Adds the pages by which somebody acts, and what does it. They are imported for that alone."""
    from delivery.web.acting import routes
    from delivery.web.acting.runner import Runner
    from delivery.web.login.tokens import FormTokens, key

    app.state.runner = Runner(url, contract)
    app.state.form_tokens = FormTokens(key(app.state.settings.web_session_key_file))
    app.include_router(routes.router)


def _route(app: FastAPI) -> None:
    app.include_router(api.router)
    app.include_router(api.aliases())
    app.include_router(docs.router)
    app.include_router(health.router)
    app.include_router(pages.router)
    app.mount("/static/swagger", _Static(packages=[("fastapi_swagger", "resources")]))
    app.mount("/static", _Static(directory=STATIC))


class _Static(StaticFiles):
    """Files that belong to the installed version, kept by browsers for an hour."""

    def file_response(self, *arguments: Any, **options: Any) -> Response:
        response = super().file_response(*arguments, **options)
        response.headers["Cache-Control"] = "public, max-age=3600"
        return response


def _handle_errors(app: FastAPI) -> None:
    """Each error becomes a response. What is not named here is a bug, and becomes 500."""

    @app.exception_handler(RequestValidationError)
    def wrong_fields(request: Request, error: RequestValidationError) -> Response:
        return _response(request, problems.wrong_fields(error))

    @app.exception_handler(WrongFieldError)
    def wrong_field(request: Request, error: WrongFieldError) -> Response:
        return _response(request, problems.wrong_field(error))

    @app.exception_handler(NotFoundError)
    def not_found(request: Request, error: NotFoundError) -> Response:
        return _response(request, problem(404, str(error)))

    @app.exception_handler(UnavailableError)
    def unavailable(request: Request, error: UnavailableError) -> Response:
        log.warning("no answer from the database", error=str(error))
        if was_cancelled(error):
            return _response(request, problem(503, TOO_LONG), TOO_LONG)
        return _response(request, problem(503, "the database does not answer: try again"))

    @app.exception_handler(NotMigratedError)
    def not_migrated(request: Request, error: NotMigratedError) -> Response:
        log.warning("not the schema of this version", error=str(error))
        return _response(request, problem(503, str(error)), str(error))

    @app.exception_handler(HTTPException)
    def refused(request: Request, error: HTTPException) -> Response:
        detail = DETAILS[error.status_code]
        told = detail if error.status_code in FOR_PEOPLE_TOO else None
        response = _response(request, problem(error.status_code, detail), told)
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            is_form = "POST" in (error.headers or {}).get("Allow", "")
            response.headers["Allow"] = "POST" if is_form else "GET, HEAD"
        return response


TOO_LONG = (
    "the database needs longer for this than DELIVERY_WEB_STATEMENT_TIMEOUT: ask for a shorter "
    "time, and for searches have `delivery migrate --search-indexes` build their indexes"
)

# Where the framework itself refuses a request.
DETAILS = defaultdict(
    lambda: "the request can't be answered",
    {
        404: "there is nothing at this address: the HTTP API is described at api/docs",
        400: "the form was shown to another login, or too long ago: load its page again",
        403: "your login may not do this: DELIVERY_WEB_OPERATORS and "
        "DELIVERY_WEB_PERSONAL_DATA_READERS say who may",
        413: "the form is too large",
        405: "this service only reads: GET and HEAD are allowed",
    },
)


FOR_PEOPLE_TOO = (400, 403, 413)


def _response(request: Request, problem: Problem, detail: str | None = None) -> Response:
    """For programs below /api, for people elsewhere; `detail` is for people too."""
    if _is_for_programs(request):
        return problems.response(problem)
    return error_pages.page(request, problem.status, detail and formatting.sentence(detail))


def _is_for_programs(request: Request) -> bool:
    return request.url.path.startswith(("/api", "/healthz", "/readyz"))


def _refused_host(scope: Scope) -> Response:
    detail = "this service has another name: see DELIVERY_WEB_ALLOWED_HOSTS"
    return _response(Request(scope), problem(400, detail), detail)


def _refused_login(scope: Scope, refused: "Refused") -> Response:
    request, detail = Request(scope), refused.detail
    if refused.way_in is None or _is_for_programs(request):
        return _response(request, problem(refused.status, detail), detail)
    link = refused.way_in, "Log in"
    page = error_pages.page(request, refused.status, formatting.sentence(detail), link)
    # Not a redirect: one that leads elsewhere is refused to a form (form-action 'self').
    page.headers["Refresh"] = f"0; url={refused.way_in}"
    return page


def _bug(scope: Scope) -> Response:
    detail = "a bug: it stands in the log of `delivery serve`"
    return _response(Request(scope), problem(500, detail))
