"""The HTTP server around the application."""

import uvicorn
from fastapi import FastAPI

from delivery.web.connections import BoundedConnection
from delivery.web.listener import BACKLOG

STOP_TIMEOUT_S = 5  # for requests in hand, after SIGTERM


def make_server(app: FastAPI) -> uvicorn.Server:
    """The server. What it would log we log ourselves: its access log names whole paths."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=BoundedConnection,
            lifespan="on",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # the address of a client is that of the connection
            backlog=BACKLOG,
            timeout_graceful_shutdown=STOP_TIMEOUT_S,
        )
    )
