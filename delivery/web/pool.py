"""The connections of `delivery serve`: few, read-only, and given back after each request."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta

from fastapi import Request
from fastapi.concurrency import contextmanager_in_threadpool
from psycopg_pool import ConnectionPool, PoolTimeout
from pydantic import SecretStr

from delivery.errors import UnavailableError
from delivery.postgres import database, session
from delivery.postgres.database import Connection

APPLICATION = "delivery serve"

WAIT_S = 2.0  # for a connection, in all
SLOT_TIMEOUT_S = 1.5  # for another request to give its connection back
RETRY_AFTER_S = 2  # a database needs at least so long to come back
RECONNECT_TIMEOUT_S = 2.0  # then the pool tries only for a request, so that recovery is quick


class Pool:
    """At most `size` connections, used by as many requests at a time.

    A request waits for one in the event loop. If it waited in a thread, requests that have a
    connection could find no thread to go on in.
    """

    def __init__(self, url: SecretStr, size: int, statement_timeout: timedelta) -> None:
        self._slots = asyncio.Semaphore(size)
        self._settings = session.of_reader(statement_timeout)
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            url.get_secret_value(),
            connection_class=Connection,
            kwargs={"autocommit": True, "prepare_threshold": None} | database.options(APPLICATION),
            configure=self._configure,
            check=ConnectionPool.check_connection,  # a server that was restarted is not noticed
            min_size=1,
            max_size=size,
            reconnect_timeout=RECONNECT_TIMEOUT_S,
            open=False,
        )

    def start(self) -> None:
        """Starts to connect, in the background."""
        self._pool.open()

    def stop(self) -> None:
        """Closes the connections that are not in use, and the others when they are given back."""
        self._pool.close(timeout=1.0)

    @contextmanager
    def snapshot(self, timeout_s: float = WAIT_S) -> Iterator[Connection]:
        """A read-only transaction that sees the database as it is at one time.

        Raises UnavailableError, where no connection can be made within `timeout_s` seconds too.
        """
        try:
            with (
                self._pool.connection(timeout_s) as connection,
                database.transaction(connection),
            ):
                yield connection
        except PoolTimeout as error:
            raise UnavailableError("PostgreSQL can't be reached") from error

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Connection]:
        """A `snapshot` as soon as a connection is free.

        Raises UnavailableError, after two seconds at most: whoever asks has more than one server to
        ask, or asks again, and should not be one more that waits here.
        """
        started = time.monotonic()
        try:
            await asyncio.wait_for(self._slots.acquire(), SLOT_TIMEOUT_S)
        except TimeoutError:
            raise UnavailableError("too many requests wait for the database") from None
        try:
            left_s = WAIT_S - (time.monotonic() - started)
            async with contextmanager_in_threadpool(self.snapshot(left_s)) as connection:
                yield connection
        finally:
            self._slots.release()

    def _configure(self, connection: Connection) -> None:
        database.prepare(connection, self._settings, read_only=True)


async def reading(request: Request) -> AsyncIterator[Connection]:
    """A FastAPI dependency: the connection of a `snapshot`, in UTC.

    Depend on it with `scope="function"`, so that it ends before the response is sent: a slow client
    must not hold a connection. Raises UnavailableError, which becomes 503.
    """
    pool: Pool = request.app.state.pool
    async with pool.slot() as connection:
        yield connection
