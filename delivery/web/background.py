"""What takes longer than a request may: looked at beside the requests, again and again."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

import structlog

from delivery.errors import ForbiddenError, NotMigratedError, SettingsError, UnavailableError
from delivery.web.middleware import where

log = structlog.get_logger()

Value = TypeVar("Value")

# Seconds.
LOOKED_AT = 60.0  # so long after somebody asked it is kept fresh
IDLE = 30.0  # between two looks while nobody asks
END = 0.5  # for the look in hand

SHARE = 0.1  # of the time that looking may take; a look that takes a second has nine seconds' rest


Opened = Callable[[], AbstractContextManager[Callable[[], Value]]]


@dataclass(frozen=True)
class Seen(Generic[Value]):
    """What was seen last, and when; `why` says why the last look failed, None if it did not."""

    value: Value | None = None
    at: datetime | None = None
    why: str | None = "it is being looked at for the first time"


class Watch(Generic[Value]):
    """Looks every `every` seconds while somebody asks for what it sees, in a thread of its own.

    `opened` gives the function that looks. After it failed, it is closed and opened again. All of
    that is done in the one thread, which nothing waits for where a server does not answer.
    """

    def __init__(self, name: str, opened: Opened[Value], every: float) -> None:
        self._opened = opened
        self._every = every
        self._seen: Seen[Value] = Seen()
        self._asked = time.monotonic()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def stop(self) -> None:
        """Looks no more. Waits a moment for the look in hand."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(END)

    def seen(self) -> Seen[Value]:
        """What was seen last."""
        self._asked = time.monotonic()
        return self._seen

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                with self._opened() as look:
                    self._look_on(look)
            except (UnavailableError, SettingsError, NotMigratedError, ForbiddenError) as error:
                self._fail(str(error))
            except Exception as error:  # a bug in here must not end the looking
                self._fail(f"a bug: {type(error).__name__} at {where(error)}")
            self._stopped.wait(self._every)

    def _look_on(self, look: Callable[[], Value]) -> None:
        rest = 0.0
        while not self._stopped.wait(rest):
            started = time.monotonic()
            self._seen = Seen(look(), datetime.now(UTC), None)
            rest = self._rest(time.monotonic() - started)

    def _rest(self, took: float) -> float:
        is_asked_for = time.monotonic() - self._asked < LOOKED_AT
        return max(self._every if is_asked_for else IDLE, took * (1 / SHARE - 1))

    def _fail(self, why: str) -> None:
        if self._seen.why != why:
            log.warning("can't look", watch=self._thread.name, error=why)
        self._seen = Seen(self._seen.value, self._seen.at, why)
