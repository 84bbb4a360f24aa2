"""An archive that is killed, and one beside a worker: real processes on a real PostgreSQL."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from pathlib import Path

import psycopg
import pytest
import zstandard
from every_command import Run
from psycopg import sql
from pydantic import SecretStr
from records import RECEIVED, TOPIC

from delivery.cli import DONE
from delivery.domain.event import Contract
from delivery.domain.record import Record
from delivery.inbox import transaction
from delivery.postgres.database import Connection, Session

SECONDS = 60.0
MONTH = "1999_11"
EVENTS = 3000


def records(first: int, number: int) -> list[Record]:
    """Events of as many orders, in one month."""
    return [
        Record(TOPIC, 0, offset, RECEIVED, None, _event(offset), [])
        for offset in range(first, first + number)
    ]


def _event(offset: int) -> bytes:
    time = f"1999-11-{1 + offset % 30:02}T00:00:00Z"
    noise = random.Random(offset).randbytes(2000).hex()  # a record is the same each time
    return f'{{"event":{{"orderId":{offset + 1}}},"createdAt":"{time}","noise":"{noise}"}}'.encode()


@pytest.fixture(params=["its own partition", "the default partition"])
def log(connection: Connection, request: pytest.FixtureRequest) -> Connection:
    """A log with a month of events."""
    if request.param == "its own partition":
        connection.execute(
            f"CREATE TABLE processed_events_{MONTH} PARTITION OF processed_events "
            "FOR VALUES FROM ('1999-11-01Z') TO ('1999-12-01Z')"
        )
        connection.execute(f"SELECT keep_log('processed_events_{MONTH}')")
    transaction.process(connection, Contract(), records(0, EVENTS))
    return connection


def rows(connection: Connection) -> list[str]:
    return [row for (row,) in connection.execute("SELECT t::text FROM processed_events t")]


def filed(connection: Connection, folder: Path) -> list[str]:
    """The rows of the files that have their name."""
    with connection.transaction(force_rollback=True):
        connection.execute("CREATE TABLE restored (LIKE processed_events INCLUDING DEFAULTS)")
        for path in folder.glob("*.csv.zst"):
            content = zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes())
            into = "COPY restored FROM STDIN (FORMAT csv, HEADER MATCH)"
            with connection.cursor().copy(into) as copy:
                copy.write(content)
        return [row for (row,) in connection.execute("SELECT t::text FROM restored t")]


def started(url: str, folder: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "delivery", "archive", "--before", "2000-01"]
    return subprocess.Popen(
        [*command, "--to", str(folder)],
        env=os.environ | {"DELIVERY_DATABASE_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {SECONDS} s: {what}"
        time.sleep(0.001)


def _is_writing(folder: Path) -> bool:
    return any(path.stat().st_size for path in folder.glob("*.csv.zst.unfinished"))


def _waits_for_a_lock(connection: Connection) -> bool:
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND application_name = 'delivery archive' AND wait_event_type = 'Lock'"
    )
    ((number,),) = connection.execute(query)
    return bool(number)


@pytest.mark.parametrize("ends", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("step", ["while it writes", "before the month is locked", "at the drop"])
def test_killed_at_any_step_nothing_is_lost_and_it_can_be_run_again(
    log: Connection,
    run: Run,
    database_url: str,
    tmp_path: Path,
    step: str,
    ends: signal.Signals,
) -> None:
    before = sorted(rows(log))
    with psycopg.connect(database_url) as other:
        if step == "before the month is locked":
            ((name,),) = log.execute(
                "SELECT DISTINCT tableoid::regclass::text FROM processed_events"
            )
            other.execute(
                sql.SQL("LOCK TABLE {} IN ROW EXCLUSIVE MODE").format(sql.Identifier(name))
            )
        elif step == "at the drop":
            other.execute("SELECT FROM processed_events LIMIT 1")
        process = started(database_url, tmp_path)
        if step == "while it writes":
            wait_until(lambda: _is_writing(tmp_path) or process.poll() is not None, "it writes")
        else:
            waits = lambda: _waits_for_a_lock(log) or process.poll() is not None  # noqa: E731
            wait_until(waits, "it waits for a lock")
        process.send_signal(ends)
        process.communicate(timeout=SECONDS)
    found = set(rows(log)) | set(filed(log, tmp_path))
    assert sorted(found) == before
    assert run(database_url, "verify", "--database-only")[:2] == (DONE, "")
    again = started(database_url, tmp_path)
    _, said = again.communicate(timeout=SECONDS)
    assert again.returncode == DONE, said
    assert rows(log) == []
    assert sorted(filed(log, tmp_path)) == before
    assert list(tmp_path.glob("*.unfinished")) == []
    assert run(database_url, "verify", "--database-only")[:2] == (DONE, "")


def test_beside_a_worker_that_writes_to_the_month_each_event_is_in_the_log_or_in_a_file_once(
    log: Connection, run: Run, database_url: str, tmp_path: Path
) -> None:
    worker = Session(SecretStr(database_url), timedelta(seconds=45))
    stop = threading.Event()
    written: list[int] = []

    def work() -> None:
        for first in count(EVENTS, 10):
            if stop.is_set():
                return
            batch = [*records(first, 10), *records(first - EVENTS, 1)]
            while True:
                try:
                    transaction.process(worker.connection(), Contract(), batch)
                    break
                except Exception:  # a lock that was not had: as the worker, once more
                    worker.drop()
            written.append(first)
            stop.wait(0.05)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(3):
            process = started(database_url, tmp_path)
            process.communicate(timeout=SECONDS)
            assert process.returncode in (DONE, 1, 3)
    finally:
        stop.set()
        thread.join()
        worker.drop()
    process = started(database_url, tmp_path)
    _, said = process.communicate(timeout=SECONDS)
    assert process.returncode == DONE, said
    assert rows(log) == []
    orders = [int(row[1 : row.index(",")]) for row in filed(log, tmp_path)]
    assert sorted(orders) == list(range(1, max(written) + 11))
    assert run(database_url, "verify", "--database-only")[:2] == (DONE, "")
