"""The connections of `delivery serve`: few, read-only, and given back after each request."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta

from fastapi import Request
from fastapi.concurrency import contextmanager_in_threadpool
from psycopg import IsolationLevel
from psycopg_pool import ConnectionPool, PoolTimeout
from pydantic import SecretStr

from delivery.errors import UnavailableError
from delivery.postgres import database
from delivery.postgres.database import Connection

APPLICATION = "delivery serve"

# Seconds.
WAIT_FOR_TURN = 10.0  # for another request to give its connection back
WAIT_FOR_CONNECTION = 3.0  # for the server to accept a new one
RECONNECT = 2.0  # after it the pool tries only when somebody asks, so that recovery is quick


class Pool:
    """At most `size` connections, and as many requests at a time that use them.

    A request that has to wait waits here, in the event loop: if it waited in a thread, those that
    have a connection could find no thread to go on in.
    """

    def __init__(self, url: SecretStr, size: int, statement_timeout: timedelta) -> None:
        self._turns = asyncio.Semaphore(size)
        self._timeout = round(statement_timeout.total_seconds() * 1000)
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            url.get_secret_value(),
            kwargs={"autocommit": True, "prepare_threshold": None} | database.options(APPLICATION),
            configure=self._configure,
            check=ConnectionPool.check_connection,  # a server that was restarted is not noticed
            min_size=1,
            max_size=size,
            timeout=WAIT_FOR_CONNECTION,
            reconnect_timeout=RECONNECT,
            open=False,
        )

    def start(self) -> None:
        """Starts to connect, in the background."""
        self._pool.open()

    def stop(self) -> None:
        """Closes the connections that are not in use, and the others when they are given back."""
        self._pool.close(timeout=1.0)

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """One read-only transaction that sees one moment. Raises UnavailableError."""
        try:
            with self._pool.connection() as connection, database.transaction(connection):
                yield connection
        except PoolTimeout as error:
            raise UnavailableError("PostgreSQL can't be reached") from error

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Connection]:
        """The same for one of many at a time. Raises UnavailableError after a long wait."""
        try:
            await asyncio.wait_for(self._turns.acquire(), WAIT_FOR_TURN)
        except TimeoutError:
            raise UnavailableError("too many requests wait for the database") from None
        try:
            async with contextmanager_in_threadpool(self.snapshot()) as connection:
                yield connection
        finally:
            self._turns.release()

    def _configure(self, connection: Connection) -> None:
        settings = {
            "TimeZone": "UTC",
            "statement_timeout": str(self._timeout),
            "idle_in_transaction_session_timeout": str(self._timeout * 2),
            "jit": "off",  # compiling would take longer than these queries
        }
        for name, value in settings.items():
            connection.execute("SELECT set_config(%s, %s, false)", (name, value))
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True


async def reading(request: Request) -> AsyncIterator[Connection]:
    """A FastAPI dependency: a connection inside a transaction that sees one moment, in UTC.

    Depend on it with `scope="function"`, so that it ends before the answer is sent: a slow client
    must not hold a connection. Raises UnavailableError, which becomes 503.
    """
    pool: Pool = request.app.state.pool
    async with pool.turn() as connection:
        yield connection
