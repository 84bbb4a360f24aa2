"""`delivery serve`"""

import logging
import os
import signal
import threading
from typing import TYPE_CHECKING, Annotated

import structlog
import typer
from pydantic import SecretStr

from delivery import log, settings
from delivery.cli.arguments import require_text
from delivery.domain.event import Contract
from delivery.errors import SettingsError
from delivery.postgres import database
from delivery.settings import KafkaSettings, OidcSettings, WebSettings, WorkerSettings
from delivery.web.listener import is_loopback, listening, url

if TYPE_CHECKING:
    import socket

    import uvicorn

DONE = 0  # exit code

# All that is read, so that a role without the right to it is told at the start.
_READ = """
SELECT FROM processed_events, duplicate_events, dead_letters, deliveries, event_history LIMIT 0
"""


# It locks nothing and writes nothing, and is refused like the real one.
_ACT = """
INSERT INTO operator_actions (acted_by, action, reason, letters, chosen)
SELECT '', '', '', '', 0 WHERE false
"""


def serve(
    host: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            callback=require_text,
            help="DELIVERY_WEB_HOST, 127.0.0.1 if that is not set.",
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT",
            min=0,
            max=65535,
            help="DELIVERY_WEB_PORT, 8080 if that is not set. 0: one that is free.",
        ),
    ] = None,
) -> None:
    """Serve the history as web pages and as an HTTP API.

    It runs until SIGTERM or SIGINT, beside any number of workers. It only
    reads, unless told otherwise. Without DELIVERY_WEB_LOGIN whoever reaches the address
    sees everything, so that it is this machine alone unless you say otherwise.
    Personal data is masked unless DELIVERY_WEB_SHOW_PERSONAL_DATA is true.
    DELIVERY_WEB_ALLOWED_HOSTS has the names by which it may be called, beside
    addresses and localhost.

    DELIVERY_WEB_DATABASE_URL is the database to read, as a role that may only
    read (see `delivery migrate --reader-role`); DELIVERY_DATABASE_URL if it is
    not set. With DELIVERY_KAFKA_BOOTSTRAP_SERVERS it tells the workers' lag too.

    Operators replay and discard dead letters from the pages where
    DELIVERY_WEB_OPERATOR_DATABASE_URL is set, as the role of `delivery migrate
    --operator-role`. That needs a login; DELIVERY_WEB_OPERATORS says who may.

    \b
    Examples:
      delivery serve
      delivery serve --host 0.0.0.0 --port 80
    """
    web = _with_options(settings.load(WebSettings), host, port)
    kafka = settings.load_if_set(KafkaSettings)
    log.configure(web.log_level, limits_repeats=True)
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # what it says we say ourselves
    oidc = settings.load(OidcSettings) if web.web_login == "oidc" else None
    server = _server(web, kafka, oidc)
    _require_readable(web)
    if web.web_operator_database_url is not None:
        _require_operator(web.web_operator_database_url)
    with listening(web.web_host, web.web_port) as listener:
        structlog.get_logger().info("serving", url=url(listener))
        if web.web_login == "none":
            _warn_of_strangers(listener, web.web_show_personal_data)
        _run(server, listener)
    structlog.get_logger().info("stopped")
    _end()


def _with_options(web: WebSettings, host: str | None, port: int | None) -> WebSettings:
    options = {"web_host": host, "web_port": port}
    return web.model_copy(update={k: v for k, v in options.items() if v is not None})


def _warn_of_strangers(listener: "socket.socket", shows_personal_data: bool) -> None:
    """There is no login: says so where others than this machine's users can connect."""
    if is_loopback(listener):
        return
    log = structlog.get_logger()
    if shows_personal_data:
        log.critical(
            "PERSONAL DATA IS SHOWN TO WHOEVER REACHES THIS ADDRESS: there is no login. Set "
            "DELIVERY_WEB_LOGIN; or put a proxy that has one in front, and let nobody else reach "
            "this; or set DELIVERY_WEB_SHOW_PERSONAL_DATA to false"
        )
    else:
        log.warning(
            "other machines can connect, and there is no login: set DELIVERY_WEB_LOGIN, or put a "
            "proxy that has one in front"
        )


def _server(
    web: WebSettings, kafka: KafkaSettings | None, oidc: OidcSettings | None
) -> "uvicorn.Server":
    """The server. Raises SettingsError where the extra `web` is not installed."""
    try:
        from delivery.web.app import create_app
        from delivery.web.server import make_server
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"`delivery serve` needs {error.name}: pip install 'delivery[web]'"
        ) from error
    worker = settings.load(WorkerSettings)
    contract = Contract(worker.event_timezone, worker.max_future_skew)
    return make_server(create_app(web, kafka, contract, oidc))


def _require_readable(web: WebSettings) -> None:
    """Raises UnavailableError, NotMigratedError or ForbiddenError."""
    with database.connect(web.reader_url, "delivery serve", read_only=True) as connection:
        database.require_migrated(connection)
        with database.transaction(connection):
            connection.execute(_READ)


def _require_operator(url: SecretStr) -> None:
    """Raises UnavailableError, NotMigratedError or ForbiddenError."""
    with database.connect(url, "delivery serve") as connection:
        database.require_migrated(connection)
        with database.transaction(connection):
            connection.execute(_ACT)


def _run(server: "uvicorn.Server", listener: "socket.socket") -> None:
    """Serves until SIGTERM or SIGINT, which uvicorn raises again at its end: it found us ready."""
    numbers = signal.SIGTERM, signal.SIGINT
    former = {number: signal.signal(number, lambda *_: None) for number in numbers}
    try:
        server.run(sockets=[listener])
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _end() -> None:
    """Ends a process whose threads wait for a frozen server: Python would wait for them."""
    if [thread for thread in threading.enumerate() if not thread.daemon][1:]:
        os._exit(DONE)  # it only reads; letters in hand are rolled back, and said to be open
