"""Reads beside the requests what takes longer than a request may, again and again."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

import structlog

from delivery.errors import ForbiddenError, NotMigratedError, SettingsError, UnavailableError
from delivery.log import raised_at

log = structlog.get_logger()

Value = TypeVar("Value")

WANTED_S = 60.0  # so long after a request the value is kept fresh
IDLE_INTERVAL_S = 30.0  # between two reads while no request wants it
REFUSED_INTERVAL_S = 60.0  # after a refused login: one every few seconds locks accounts
STOP_TIMEOUT_S = 0.5  # for the read in hand

SHARE = 0.1  # of the time that reading may take: after a second of it come nine seconds' rest

Open = Callable[[], AbstractContextManager[Callable[[], Value]]]


@dataclass(frozen=True)
class Snapshot(Generic[Value]):
    """The value as it was read last, and when; `error` says why a later read failed, if it did."""

    value: Value | None = None
    at: datetime | None = None
    error: str | None = "it is being looked at for the first time"


class Poller(Generic[Value]):
    """Reads a value every `interval_s` seconds while requests want it, in a thread of its own.

    `open` gives the function that reads. After a failure it is closed and opened again. All of that
    is done in the one thread: nothing waits for a server that does not answer.
    """

    def __init__(
        self,
        name: str,
        open: Open[Value],  # noqa: A002
        interval_s: float,
        idle_interval_s: float = IDLE_INTERVAL_S,
    ) -> None:
        self._open = open
        self._idle_interval_s = idle_interval_s
        self._interval_s = interval_s
        self._latest: Snapshot[Value] = Snapshot()
        self._wanted_at = time.monotonic()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begins to read."""
        self._thread.start()

    def stop(self) -> None:
        """Reads no more. Waits a moment for the read in hand."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(STOP_TIMEOUT_S)

    def latest(self) -> Snapshot[Value]:
        """What was read last. To ask for it keeps it fresh."""
        self._wanted_at = time.monotonic()
        return self._latest

    def _run(self) -> None:
        while not self._stopped.is_set():
            rest_s = self._interval_s
            try:
                with self._open() as read:
                    self._read_on(read)
            except SettingsError as error:
                rest_s = max(rest_s, REFUSED_INTERVAL_S)
                self._fail(str(error))
            except (UnavailableError, NotMigratedError, ForbiddenError) as error:
                self._fail(str(error))
            except Exception as error:  # a bug in here must not end the polling
                self._fail(f"a bug: {type(error).__name__} at {raised_at(error)}")
            self._stopped.wait(rest_s)

    def _read_on(self, read: Callable[[], Value]) -> None:
        rest_s = 0.0
        while not self._stopped.wait(rest_s):
            started = time.monotonic()
            self._latest = Snapshot(read(), datetime.now(UTC), None)
            rest_s = self._rest_s(time.monotonic() - started)

    def _rest_s(self, took_s: float) -> float:
        is_wanted = time.monotonic() - self._wanted_at < WANTED_S
        interval_s = self._interval_s if is_wanted else self._idle_interval_s
        return max(interval_s, took_s * (1 / SHARE - 1))

    def _fail(self, why: str) -> None:
        if self._latest.error != why:
            log.warning("can't look", watch=self._thread.name, error=why)
        self._latest = Snapshot(self._latest.value, self._latest.at, why)
