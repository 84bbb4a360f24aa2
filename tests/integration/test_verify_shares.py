"""Several processes that compare a log find what one finds, and none outlives its verify."""

import random
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from every_command import Run, as_user
from pydantic import SecretStr
from records import batch
from test_archive import event

from delivery.cli import DONE
from delivery.domain.event import Contract
from delivery.errors import NotMigratedError, UnavailableError
from delivery.inbox import transaction
from delivery.postgres import database
from delivery.postgres.database import Connection
from delivery.verify import Allowed, Progress, findings, processes, shares
from delivery.verify.archive import Archive
from delivery.verify.processes import Task
from delivery.verify.shares import FIRST, LAST, Share

ORDERS = 12
MONTHS = ("2024-11", "2024-12", "2025-01")

TAMPER = [
    "UPDATE processed_events SET outcome = 'stale' WHERE record_offset = ANY(%s)",
    "UPDATE processed_events SET consumed_at = now() WHERE record_offset = ANY(%s)",
    "UPDATE processed_events SET payload = '{}' WHERE record_offset = ANY(%s)",
    "UPDATE processed_events SET order_id = order_id + 1000 WHERE record_offset = ANY(%s)",
    "DELETE FROM processed_events WHERE record_offset = ANY(%s)",
    "DELETE FROM deliveries WHERE order_id = ANY(%s)",
    "UPDATE deliveries SET order_id = order_id + 2000 WHERE order_id = ANY(%s)",
    "UPDATE deliveries SET quantity = 77 WHERE order_id = ANY(%s)",
]


@pytest.fixture
def all_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each log is large enough, and is sampled as a whole."""
    monkeypatch.setattr(shares, "SAMPLE", 100)
    monkeypatch.setattr(shares, "FEWEST_ROWS", 1)


@pytest.fixture
def found(connection: Connection, database_url: str) -> Callable[[int], list[str]]:
    """What so many processes find, and how much they say they compared."""

    def found(number: int) -> list[str]:
        progress = Progress()
        allowed = Allowed(SecretStr(database_url), number)
        with database.snapshot(SecretStr(database_url), "test") as reading:
            nothing: Any = (reading, Contract(), {}, lambda *_: [], progress)
            lines = [str(finding) for finding in findings(*nothing, allowed=allowed)]
        return [*lines, f"events {progress.events}, deliveries {progress.deliveries}"]

    return found


def contents(rng: random.Random) -> list[bytes | None]:
    """Late events, redeliveries, conflicts and equal times, of few orders in few months."""
    times = [
        f"{month}-{day:02}T00:00:00{second}Z"
        for month in MONTHS
        for day in (1, 15, 28)
        for second in ("", ".000001")
    ]
    return [
        event(rng.randrange(1, ORDERS), rng.choice(times), quantity=rng.randrange(3))
        if rng.random() < 0.95
        else rng.choice([b"no JSON", None])
        for _ in range(150)
    ]


def with_months(connection: Connection) -> None:
    for month, end in (*pairwise(MONTHS), ("2025-01", "2025-02")):
        name = f"processed_events_{month.replace('-', '_')}"
        connection.execute(
            f"CREATE TABLE {name} PARTITION OF processed_events "
            f"FOR VALUES FROM ('{month}-01Z') TO ('{end}-01Z')"
        )
        connection.execute(f"SELECT keep_log('{name}')")


def erased(connection: Connection, url: str, run: Run, order_id: int) -> None:
    name = f"{url.rpartition('/')[2]}_eraser"
    connection.execute(f"CREATE ROLE {name} LOGIN")
    assert run(url, "migrate", "--erasure-role", name)[0] == DONE
    command = ("erase", "--order", str(order_id), "--reason", "request 117")
    assert run(as_user(name, url), *command)[0] == DONE
    connection.execute(f"DROP OWNED BY {name}")
    connection.execute(f"DROP ROLE {name}")


@pytest.mark.usefixtures("all_are_shared")
@pytest.mark.parametrize("seed", range(4))
def test_they_find_what_one_process_finds_in_any_log(
    connection: Connection,
    database_url: str,
    run: Run,
    found: Callable[[int], list[str]],
    tmp_path: Path,
    seed: int,
) -> None:
    rng = random.Random(seed)
    with_months(connection)
    offset = 0
    for _ in range(3):
        batch_of = contents(rng)
        transaction.process(connection, Contract(), batch(*batch_of, first=offset))
        offset += len(batch_of)
    erased(connection, database_url, run, rng.randrange(1, ORDERS))
    if seed % 2:
        assert run(database_url, "archive", "--before", "2024-12", "--to", str(tmp_path))[0] == DONE
    untouched = found(1)
    assert len(untouched) == 1  # no finding
    assert found(3) == untouched
    connection.execute("ALTER TABLE processed_events DISABLE TRIGGER refuse_change")
    for statement in rng.sample(TAMPER, 3):
        last = ORDERS if "deliveries" in statement else offset
        chosen = rng.sample(range(last), last // 4)
        try:
            connection.execute(statement.encode(), (chosen,))
        except psycopg.errors.UniqueViolation:
            continue
    tampered = found(1)
    assert len(tampered) > 1
    assert found(3) == tampered


@pytest.mark.usefixtures("all_are_shared")
def test_each_order_id_is_in_one_share(connection: Connection) -> None:
    records = [event(n, "2026-11-01T00:00:00Z") for n in (1, 2, 3, 5, 8, LAST)]
    transaction.process(connection, Contract(), batch(*records))
    for number in range(2, 9):
        found = shares.of_log(connection, number)
        assert 2 <= len(found) <= number
        assert (found[0].first, found[-1].last) == (FIRST, LAST)
        assert all(share.first <= share.last for share in found)
        assert all(after.first == before.last + 1 for before, after in pairwise(found))


def test_a_small_log_is_compared_by_one_process(connection: Connection) -> None:
    assert shares.of_log(connection, 4) == []
    transaction.process(connection, Contract(), batch(event(1, "2026-11-01T00:00:00Z")))
    assert shares.of_log(connection, 4) == []


def task(reading: Connection, url: str) -> Task:
    ((snapshot,),) = reading.execute("SELECT pg_export_snapshot()")
    return Task(SecretStr(url), snapshot, Share(FIRST, LAST), Contract(), Archive())


def test_what_is_written_after_the_snapshot_is_seen_by_none(
    connection: Connection, database_url: str
) -> None:
    with database.snapshot(SecretStr(database_url), "test") as reading:
        one = task(reading, database_url)
        transaction.process(connection, Contract(), batch(event(1, "2026-11-01T00:00:00Z")))
        connection.execute("DELETE FROM deliveries")
        progress = Progress()
        with processes.comparing([one]) as comparing:
            assert list(processes.findings(comparing, progress)) == []
        assert progress.events == 0


def test_the_error_of_a_process_is_the_commands(
    connection: Connection, database_url: str, empty_database_url: str
) -> None:
    with database.snapshot(SecretStr(database_url), "test") as reading:
        lost = task(reading, empty_database_url)
        with (
            processes.comparing([lost]) as comparing,
            pytest.raises(NotMigratedError, match="delivery migrate"),
        ):
            list(processes.findings(comparing, Progress()))


def test_a_process_that_is_killed_is_no_proof(connection: Connection, database_url: str) -> None:
    with (
        database.snapshot(SecretStr(database_url), "test") as reading,
        processes.comparing([task(reading, database_url)]) as comparing,
    ):
        comparing[0].process.kill()
        with pytest.raises(UnavailableError, match=r"ended \(-9\); --processes 1"):
            list(processes.findings(comparing, Progress()))


VERIFY = """
from delivery import cli
from delivery.verify import shares
shares.SAMPLE, shares.FEWEST_ROWS = 100, 1
if __name__ == "__main__":
    cli.main()
"""

WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


def test_they_end_with_a_verify_that_is_killed(connection: Connection, database_url: str) -> None:
    transaction.process(
        connection, Contract(), batch(*(event(n, "2026-11-01T00:00:00Z") for n in (1, 2, 3)))
    )
    with database.connect(SecretStr(database_url), "test") as blocking, blocking.transaction():
        # The cut is read before, so that it is the processes that wait.
        blocking.execute("LOCK TABLE deliveries")
        running = subprocess.Popen(
            [sys.executable, "-c", VERIFY, "verify", "--database-only", "--processes", "2"],
            env={"DELIVERY_DATABASE_URL": database_url},
            stderr=subprocess.DEVNULL,
        )
        try:
            await_(lambda: connection.execute(WAITING).fetchone() == (2,))
            children = psutil.Process(running.pid).children(recursive=True)
            assert len(children) >= 2
        finally:
            running.kill()
            running.wait()
        await_(lambda: not any(child.is_running() for child in children))


def await_(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
