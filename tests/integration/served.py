"""The web application behind a real HTTP server, in a thread of the test's process."""

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from delivery.settings import KafkaSettings, OidcSettings, WebSettings
from delivery.web.app import create_app
from delivery.web.listener import listening, url
from delivery.web.server import make_server

SECONDS = 30.0  # a deadline

_AGE = re.compile(r'<span class="age">[^<]*</span>')


@contextmanager
def served(
    database_url: str,
    kafka: KafkaSettings | None = None,
    oidc: OidcSettings | None = None,
    **settings: Any,
) -> Iterator[str]:
    """Serves this database and gives the server's address, such as http://127.0.0.1:34567."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    app = create_app(WebSettings(web_database_url=database_url, **settings), kafka, oidc=oidc)
    server = make_server(app)
    with listening("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), name="served")
        thread.start()
        try:
            wait_until(lambda: server.started or not thread.is_alive())
            yield url(listener)
        finally:
            server.should_exit = True
            thread.join(SECONDS)
    assert not thread.is_alive()


def without_ages(page: str) -> str:
    """The page without how long ago each time was: that grows from one answer to the next."""
    return _AGE.sub("", page)


def wait_until(condition: Callable[[], bool]) -> None:
    """Polls for the condition until a deadline."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
