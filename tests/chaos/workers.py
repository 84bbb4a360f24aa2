"""The workers of a run: real processes, some of which are killed, frozen and asked to stop."""

import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import processes
import psutil  # type: ignore[import-untyped]
from environment import Connection, Environment
from processes import Process, wait_until

LARGEST = 3

# Of the workers' sessions those that a lock of that session keeps from writing.
HELD = """
SELECT client_port FROM pg_stat_activity
WHERE application_name = 'delivery worker' AND %s = ANY (pg_blocking_pids(pid))
"""
STATE = "SELECT state FROM pg_stat_activity WHERE client_port = %s"


class Workers:
    """The living workers by number. Whatever happens around them, none may end by itself."""

    def __init__(self, environment: Environment, rng: random.Random) -> None:
        self.environment = environment
        self.living: dict[int, Process] = {}
        self._rng = rng
        self._started = 0

    def join(self) -> None:
        """One more worker; when this returns, it consumes."""
        self._started += 1
        worker = self.start("worker", log=f"worker-{self._started}")
        self.living[self._started] = worker
        wait_until(
            lambda: '"consuming"' in worker.stderr() or worker.has_ended(),
            "the worker has started",
            worker,
        )
        self.assert_alive()

    def start(self, *arguments: str, log: str, **settings: str) -> Process:
        """Starts a command of delivery."""
        command = ["-m", "delivery", *arguments]
        return processes.start(
            self.environment.folder / log, command, self.environment.settings() | settings
        )

    def any(self) -> int:
        """The number of some worker."""
        return self._rng.choice(sorted(self.living))

    def kill(self, number: int) -> None:
        """SIGKILL."""
        assert self.living.pop(number).end(signal.SIGKILL) == -signal.SIGKILL

    def terminate(self, number: int) -> None:
        """SIGTERM, after which a worker has to end well."""
        worker = self.living.pop(number)
        code = worker.end(signal.SIGTERM)
        assert code == 0, f"worker {number} ended with {code} after SIGTERM:\n{worker.stderr()}"

    @contextmanager
    def frozen(self, number: int) -> Iterator[None]:
        """SIGSTOP, and SIGCONT at the end."""
        self.living[number].running.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.living[number].running.send_signal(signal.SIGCONT)

    def assert_alive(self) -> None:
        """Nobody ended but those that were told to."""
        for number, worker in self.living.items():
            code = worker.running.poll()
            assert code is None, f"worker {number} ended by itself with {code}:\n{worker.stderr()}"

    def count_in_logs(self, text: str) -> int:
        """How often all workers so far have said this."""
        logs = self.environment.folder.glob("worker-*")
        return sum(log.read_text().count(text) for log in logs)

    def held_by(self, connection: Connection, session: int) -> tuple[int, int] | None:
        """A worker that this session keeps from writing: its number, and the port it comes from."""
        for (port,) in connection.execute(HELD, (session,)):
            for number, worker in self.living.items():
                if port in _ports(worker):
                    return number, port
        return None

    def is_between_transactions(self, connection: Connection, port: int) -> bool:
        """Whether the worker that comes from this port has committed."""
        return connection.execute(STATE, (port,)).fetchone() == ("idle",)

    def close(self) -> None:
        """Kills whoever is left, frozen or not."""
        for number in list(self.living):
            self.living.pop(number).end(signal.SIGKILL)


def _ports(worker: Process) -> set[int]:
    connections = psutil.Process(worker.running.pid).net_connections(kind="tcp")
    return {connection.laddr.port for connection in connections}
