"""Sessions on a real PostgreSQL that take their steps one at a time, in every possible order.

As PostgreSQL's own isolationtester does, but the steps are those of the real code: it calls
`Stage.pause` where a step begins, and waits there for its turn. Whether a session waits for a lock
of another one is asked of the server. Nothing here waits for time to pass.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic

from psycopg.sql import SQL, Identifier

from delivery.postgres.database import Connection

SECONDS = 20.0  # the deadline of one step; it takes about a millisecond
TRIES = 3  # of an order of steps that the server may not follow
GLANCE = 0.001  # seconds until the server is asked whether a session waits for a lock

# With it a session waits before each row that it writes to the table: see `Stage.step_by_row`.
ROW_STEPS = """
CREATE OR REPLACE FUNCTION take_a_step() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    session integer := current_setting('steps.session', true);
BEGIN
    IF session IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(session, nextval('steps_of_' || session)::integer);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER take_a_step BEFORE INSERT OR UPDATE ON {}
    FOR EACH ROW EXECUTE FUNCTION take_a_step();
"""


Choice = tuple[str, list[str]]  # whose step it was, and who could have gone


@dataclass
class Schedule:
    """One order of steps: the beginning that is given, and all that was taken."""

    given: list[Choice] = field(default_factory=list)
    taken: list[Choice] = field(default_factory=list)
    has_strayed: bool = False

    def next_of(self, ready: list[str]) -> str:
        """Whose step is next, among those who can take one."""
        number = len(self.taken)
        name = self.given[number][0] if number < len(self.given) else ready[0]
        if name not in ready:
            # Of two sessions that wait for the same row, the server does not say who gets it.
            self.has_strayed = True
            name = ready[0]
        self.taken.append((name, ready))
        return name

    def following(self) -> "Schedule | None":
        """The next order of steps, depth first, or None after the last one."""
        known = self.given if self.has_strayed else self.taken
        for number in reversed(range(len(known))):
            name, ready = known[number]
            others = ready[ready.index(name) + 1 :]
            if others:
                return Schedule([*known[:number], (others[0], ready)])
        return None


def schedules() -> Iterator[Schedule]:
    """Every order of steps. Each has to be run before the next one is asked for."""
    schedule: Schedule | None = Schedule()
    while schedule is not None:
        for _ in range(TRIES):
            schedule = Schedule(schedule.given)
            yield schedule
            if not schedule.has_strayed:
                break
        schedule = schedule.following()


@dataclass
class Session:
    """A session that takes steps. `at` is the step that it waits to take."""

    name: str
    number: int
    pid: int = 0  # of its server process
    at: str | None = None
    row: int = 1  # how many steps it was let go within the server, and one
    has_ended: bool = False


Part = Callable[[Session], object]


class Stage:
    """Where sessions take their steps. `observer` must not be one of their connections."""

    def __init__(self, observer: Connection) -> None:
        self.sessions: dict[str, Session] = {}
        self.known: tuple[str, ...] = ()  # the steps to wait for; at others everybody passes
        self.steps: list[tuple[str, str]] = []  # session and step, as they were taken
        self._observer = observer
        self._changed = threading.Condition()
        self._acting = threading.local()
        self._is_over = False
        self._waiting: dict[int, object] = {}

    def steps_for_rows(self, table: str) -> None:
        """From now on each row written to the table is a step, for those of `step_by_row`."""
        self._observer.execute(SQL(ROW_STEPS).format(Identifier(table)))

    def step_by_row(self, connection: Connection, number: int) -> None:
        """Makes each row that session `number` writes a step of its own."""
        self._observer.execute(f"CREATE SEQUENCE IF NOT EXISTS steps_of_{number}")
        self._observer.execute("SELECT pg_advisory_lock(%s, 1)", (number,))
        connection.execute("SELECT set_config('steps.session', %s, false)", (str(number),))

    def pause(self, step: str) -> None:
        """Waits for this session's turn; other threads pass."""
        session: Session | None = getattr(self._acting, "session", None)
        if session is None:
            return
        if step not in self.known:
            self.steps.append((session.name, step))
            return
        with self._changed:
            session.at = step
            self._changed.notify_all()
            self._changed.wait_for(lambda: session.at is None or self._is_over, SECONDS)
            assert session.at is None, "nobody let it go"

    def perform(self, schedule: Schedule, parts: Mapping[str, Part]) -> dict[str, object]:
        """Runs each part in a thread of its own, in the order of the schedule.

        Returns what the parts returned; raises what they raised.
        """
        self.steps = []
        self._is_over = False
        self._waiting = {}
        numbers = {name: (s.number, s.row) for name, s in self.sessions.items()}
        self.sessions = {}
        for number, name in enumerate(parts, 1):
            row = numbers.get(name, (number, 1))[1]
            self.sessions[name] = Session(name, number, row=row)
        with ThreadPoolExecutor(len(parts)) as threads, self._ending():
            running = {name: threads.submit(self._act, name, part) for name, part in parts.items()}
            while ready := self._ready(running):
                self._let_go(self.sessions[schedule.next_of(ready)])
        return {name: future.result() for name, future in running.items()}

    def _act(self, name: str, part: Part) -> object:
        session = self._acting.session = self.sessions[name]
        try:
            return part(session)
        finally:
            with self._changed:
                session.has_ended = True
                self._changed.notify_all()

    @contextmanager
    def _ending(self) -> Iterator[None]:
        """However it ends, no thread is left waiting."""
        try:
            yield
        finally:
            with self._changed:
                self._is_over = True
                self._changed.notify_all()

    def _ready(self, running: Mapping[str, "Future[object]"]) -> list[str]:
        """Who can take a step, when all others wait for a lock or have ended."""
        deadline = monotonic() + SECONDS
        while True:
            with self._changed:
                self._changed.wait_for(self._nothing_moves, GLANCE)
                between = self._between_steps()
                ready = [name for name, session in self.sessions.items() if session.at]
            self._waiting = self._waiting_in_the_server(between)
            ready += [s.name for s in between if self._waiting.get(s.pid) is self]
            # If all wait for each other, PostgreSQL ends it: that is no state to go on from.
            if len(self._waiting) == len(between) and (ready or not between):
                return sorted(ready)
            assert monotonic() < deadline, f"no step ends: {self.sessions}, {running}"

    def _nothing_moves(self) -> bool:
        """As far as we know: a session that waited may have got its lock."""
        return all(session.pid in self._waiting for session in self._between_steps())

    def _between_steps(self) -> list[Session]:
        return [s for s in self.sessions.values() if s.at is None and not s.has_ended]

    def _waiting_in_the_server(self, sessions: list[Session]) -> dict[int, object]:
        """Of these, who waits in the server, by pid: for this stage, or for another session."""
        if not sessions:
            return {}
        us = self._observer.info.backend_pid
        theirs = {session.pid for session in self.sessions.values()}
        rows = self._observer.execute(
            "SELECT pid, pg_blocking_pids(pid) FROM unnest(%s::int[]) AS pid",
            ([session.pid for session in sessions],),
        )
        return {
            pid: self if us in blockers else blockers
            for pid, blockers in rows
            if theirs & set(blockers) or us in blockers
        }

    def _let_go(self, session: Session) -> None:
        with self._changed:
            self.steps.append((session.name, session.at or "row"))
            if session.at:
                session.at = None
                self._waiting.pop(session.pid, None)
                self._changed.notify_all()
                return
        self._waiting.pop(session.pid, None)
        number, row = session.number, session.row
        self._observer.execute("SELECT pg_advisory_lock(%s, %s)", (number, row + 1))
        self._observer.execute("SELECT pg_advisory_unlock(%s, %s)", (number, row))
        session.row += 1
