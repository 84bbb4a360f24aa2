"""What the service before knew is taken over: from a file, and from a real Redis."""

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import warm
from psycopg import sql
from pydantic import SecretStr
from records import at, batch, value

from benchmarks import redis_server
from delivery.announce import outbox
from delivery.domain.decide import Entry
from delivery.domain.event import Contract
from delivery.errors import RaceError, SettingsError
from delivery.inbox import transaction
from delivery.inbox.statements import Statements
from delivery.postgres import database
from delivery.postgres.database import Connection
from delivery.postgres.roles import grant
from delivery.takeover import baseline as lines_of
from delivery.takeover import redis_keys
from delivery.takeover.transaction import Import
from delivery.verify import Progress, findings
from delivery.web.masking import masked_payload

CONTRACT = Contract()
Contents = Callable[[], dict[str, list[str]]]
Run = Callable[..., "subprocess.CompletedProcess[str]"]

LOG = """
SELECT order_id, event_time, outcome, record_topic, record_partition, record_offset
FROM processed_events ORDER BY order_id, event_time
"""
DELIVERIES = "SELECT order_id, status, quantity, event_time FROM deliveries ORDER BY order_id"


@pytest.fixture
def delivery(database_url: str) -> Run:
    def run(
        *arguments: str, stdin: str = "", url: str = database_url, **settings: str
    ) -> "subprocess.CompletedProcess[str]":
        return warm.run(
            *arguments, environment=environment(url) | settings, stdin=stdin.encode(), timeout=120
        )

    return run


@pytest.fixture
def baseline(tmp_path: Path) -> Callable[..., str]:
    def write(*lines: dict[str, Any] | str, name: str = "baseline.jsonl") -> str:
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        path = tmp_path / name
        path.write_text("".join(f"{text}\n" for text in texts))
        return str(path)

    return write


def environment(url: str) -> dict[str, str]:
    return os.environ | {"DELIVERY_DATABASE_URL": url}


def known(order_id: int, minute: int = 0, **fields: Any) -> dict[str, Any]:
    return {"order_id": order_id, "event_time": at(minute).isoformat(), **fields}


def process(connection: Connection, *contents: bytes, first: int = 0) -> dict[str, int]:
    records = batch(*contents, first=first)
    return +transaction.process(connection, CONTRACT, records, outbox.write)


def found(connection: Connection) -> list[str]:
    with connection.transaction():
        return [str(f) for f in findings(connection, CONTRACT, {}, lambda *_: [], Progress())]


def test_what_was_imported_is_recognised_and_an_older_event_is_stale(
    delivery: Run, baseline: Callable[..., str], connection: Connection
) -> None:
    outbox.of_worker(connection, is_wanted=True)
    lines = [known(1, 5), known(2, 5, quantity=3, status="dispatched"), known(3, 5, quantity=4)]
    done = delivery("import", baseline(*lines))
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "imported: 3, known before: 0, not taken over: 0\n"
    topic = "import:baseline.jsonl"
    assert connection.execute(LOG).fetchall() == [
        (n, at(5), "created", topic, 0, n) for n in (1, 2, 3)
    ]
    assert process(
        connection,
        value(1, 5, quantity=9),  # what the import did not know may be anything
        value(2, 5, quantity=3),
        value(3, 5, quantity=5),
        value(1, 4),
        value(2, 6),
        value(1, 7, quantity=8),
    ) == {"duplicate": 2, "conflict": 1, "stale": 1, "too_late": 1, "updated": 1}
    assert connection.execute(DELIVERIES).fetchall() == [
        (1, "pending", 8, at(7)),
        (2, "dispatched", 3, at(5)),
        (3, "pending", 4, at(5)),
    ]
    assert connection.execute("SELECT FROM outbox").fetchall() == []
    assert found(connection) == []


def test_a_second_run_changes_no_row_also_with_contradictions(
    delivery: Run, baseline: Callable[..., str], contents: Contents, connection: Connection
) -> None:
    process(connection, value(1, 5, quantity=1), value(4, 5, quantity=1))
    file = baseline(known(1, 5, quantity=2), known(2), known(2), known(4, 9), known(5, quantity=6))
    first = delivery("import", file)
    assert first.returncode == 1
    told = [line.partition(", ")[0] for line in first.stdout.splitlines()]
    assert told == ["line 1: order 1", "line 4: order 4"]
    before = contents()
    second = delivery("import", file)
    assert (second.returncode, second.stdout) == (1, first.stdout)
    assert contents() == before
    assert found(connection) == []


def test_another_file_of_that_name_has_coordinates_of_its_own(
    delivery: Run, baseline: Callable[..., str], connection: Connection
) -> None:
    assert delivery("import", baseline(known(1))).returncode == 0
    assert delivery("import", baseline(known(2), known(1))).returncode == 0
    runs = connection.execute("SELECT order_id, record_partition, record_offset FROM event_history")
    assert sorted(runs.fetchall()) == [(1, 0, 1), (2, 1, 1)]
    assert found(connection) == []


@pytest.mark.parametrize(
    "line",
    ["no JSON", "[]", '{"order_id": 1}', '{"order_id": 0, "event_time": "2026-01-01T00:00"}',
     '{"order_id": 1, "event_time": "soon"}', '{"order_id": "1", "event_time": [2026,1,1,0,0]}',
     '{"order_id": 1, "event_time": [2026,1,1,0,0], "status": "lost"}',
     '{"order_id": 1, "event_time": [2026,1,1,0,0], "orderedBy": 1}',
     '{"order_id": 1, "event_time": [2026,1,1,0,0], "request_message": "\\u0000"}'],
)  # fmt: skip
def test_a_line_that_can_not_be_read_is_reported_and_the_others_are_taken_over(
    delivery: Run, connection: Connection, line: str
) -> None:
    good = json.dumps(known(7))
    done = delivery("import", "-", stdin=f"{line}\n\n{good}\n")
    assert done.returncode == 1
    assert done.stdout.startswith("line 1: ")
    assert "Traceback" not in done.stderr
    assert [row[0] for row in connection.execute(LOG).fetchall()] == [7]


# Several lines of one order, in any order and in portions of any size


def take_over(
    connection: Connection, *lines: dict[str, Any], size: int = 5000, name: str = "import:x"
) -> list[str]:
    """Imports the lines, so many in a transaction, and returns what was told."""
    running = Import(connection, CONTRACT, name)
    read = [line for _, line in lines_of.lines([json.dumps(x).encode() for x in lines], UTC)]
    told = []
    for first in range(0, len(read), size):
        for done in running.take_over(read[first : first + size]):  # type: ignore[arg-type]
            told += [f"{line.line}: {detail}" for line, detail in done.left_out]
    return told


SEVERAL = [
    known(1, 4, quantity=1, status="dispatched"),
    known(1, 5, quantity=2),
    known(1, 3, quantity=3, status="delivered"),
    known(2, 4),
    known(2, 5, status="cancelled"),
]


@pytest.mark.parametrize("lines", random.Random(7).sample([*permutations(SEVERAL)], 20))
def test_the_newest_line_gives_the_fields_and_the_furthest_the_status_in_any_order(
    connection: Connection, lines: tuple[dict[str, Any], ...], contents: Contents
) -> None:
    size = random.Random(repr(lines)).randint(1, 5)
    assert take_over(connection, *lines, size=size) == []
    assert connection.execute(DELIVERIES).fetchall() == [
        (1, "delivered", 2, at(5)),
        (2, "cancelled", None, at(5)),
    ]
    assert found(connection) == []
    before = contents()
    assert take_over(connection, *reversed(lines)) == []
    assert contents() == before


CONTRADICTORY = [
    known(1, 4, quantity=1),
    known(1, 6, quantity=2, status="dispatched"),
    known(1, 4, quantity=3),
    known(1, 6, status="delivered"),
    known(1, 7, quantity=4, status="cancelled"),
    known(1, 8, quantity=5),
    known(2, 4),
    known(2, 5),
    known(2, 4, quantity=1),
    known(1, 9),
]
LEFT_OUT = [
    "3: the log has an event of that time with another quantity, or without",
    "5: the delivery is delivered, and not cancelled",
    "9: the log has an event of that time with another quantity, or without",
    f"10: it is newer than the delivery's event of {at(8).isoformat()}, and has no field of it",
]


@pytest.mark.parametrize("size", range(1, 11))
def test_where_a_transaction_ends_makes_no_difference(
    connection: Connection, size: int, contents: Contents
) -> None:
    assert take_over(connection, *CONTRADICTORY, size=size) == LEFT_OUT
    assert [row[:3] for row in connection.execute(LOG).fetchall()] == [
        (1, at(4), "created"),
        (1, at(6), "updated"),
        (1, at(8), "updated"),
        (2, at(4), "created"),
        (2, at(5), "updated"),
    ]
    assert connection.execute(DELIVERIES).fetchall() == [
        (1, "delivered", 5, at(8)),
        (2, "pending", None, at(5)),
    ]
    conflicts = "SELECT record_offset FROM duplicate_events WHERE payload_differs ORDER BY 1"
    assert connection.execute(conflicts).fetchall() == [(3,), (9,)]
    assert found(connection) == []
    before = contents()
    take_over(connection, *CONTRADICTORY, size=11 - size)
    assert contents() == before


def test_a_status_that_is_further_is_taken_over_and_one_that_is_behind_is_not(
    delivery: Run, baseline: Callable[..., str], connection: Connection, contents: Contents
) -> None:
    delivery("import", baseline(known(1), known(2, status="dispatched"), known(3)))
    done = delivery("import", baseline(known(1, status="delivered"), known(2), known(3)))
    assert (done.returncode, done.stderr) == (
        0,
        "imported: 0, known before: 3, not taken over: 0\n",
    )
    statuses = [row[1] for row in connection.execute(DELIVERIES).fetchall()]
    assert statuses == ["delivered", "dispatched", "pending"]
    before = contents()
    refused = delivery("import", baseline(known(1, status="cancelled")))
    assert (refused.returncode, refused.stdout) == (
        1,
        f"line 1: order 1, {at(0).isoformat()}: the delivery is delivered, and not cancelled\n",
    )
    assert contents() == before


def test_what_was_erased_is_known_and_another_run_does_not_bring_it_back(
    delivery: Run, baseline: Callable[..., str], connection: Connection, contents: Contents
) -> None:
    files = [
        baseline(known(1, quantity=n, request_message="it is me"), name=f"{n}.jsonl")
        for n in (1, 2)
    ]
    delivery("import", files[0])
    erase = "SELECT erase_personal_data('{1}'::bigint[], '{}'::bigint[], 'order', 'a request')"
    connection.execute(erase)
    before = contents()
    for file in files:
        done = delivery("import", file)
        assert (done.returncode, done.stderr) == (
            0,
            "imported: 0, known before: 1, not taken over: 0\n",
        )
    assert contents() == before
    assert "it is me" not in str(before)
    assert found(connection) == []


# What the database, the role and the clock refuse


def test_a_row_that_the_database_refuses_is_found_and_costs_no_other(
    delivery: Run, baseline: Callable[..., str], connection: Connection, contents: Contents
) -> None:
    check = "ALTER TABLE deliveries ADD CONSTRAINT few CHECK (quantity < 100)"
    connection.execute(check)
    lines = [known(n, quantity=100 if n in (7, 500, 1000) else n % 100) for n in range(1, 1001)]
    file = baseline(*lines)
    done = delivery("import", file)
    assert done.returncode == 1
    assert done.stderr == "imported: 997, known before: 0, not taken over: 3\n"
    told = done.stdout.splitlines()
    assert [line.partition(", ")[0] for line in told] == [
        f"line {n}: order {n}" for n in (7, 500, 1000)
    ]
    assert all("SQLSTATE 23514" in line and '"few"' in line for line in told)
    before = contents()
    assert delivery("import", file).stdout == done.stdout
    assert contents() == before


def test_a_workers_role_imports_what_is_pending(
    delivery: Run, baseline: Callable[..., str], connection: Connection, database_url: str
) -> None:
    role = f"{database_url.rpartition('/')[2]}_importer"
    connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
    try:
        grant(SecretStr(database_url), "worker", role)
        url = database_url.replace("postgres@", f"{role}@")
        assert delivery("import", baseline(known(1), known(2, 5)), url=url).returncode == 0
        again = delivery("import", baseline(known(1, 6), known(3, quantity=1)), url=url)
        assert again.stderr == "imported: 2, known before: 0, not taken over: 0\n"
        refused = delivery("import", baseline(known(4, status="delivered")), url=url)
        assert refused.returncode == 2
        assert "only the tables' owner may import a status other than pending" in refused.stderr
    finally:
        connection.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(role)))


def test_a_time_ahead_of_the_clock_is_reported_as_a_wrong_time_zone(
    delivery: Run, connection: Connection
) -> None:
    local = (datetime.now(UTC) + timedelta(hours=9)).replace(tzinfo=None).isoformat()
    line = json.dumps({"order_id": 1, "event_time": local})
    refused = delivery("import", "-", stdin=line)
    assert refused.returncode == 1
    assert "the likely cause is a wrong DELIVERY_EVENT_TIMEZONE (UTC)" in refused.stdout
    assert connection.execute(LOG).fetchall() == []
    done = delivery("import", "-", stdin=line, DELIVERY_EVENT_TIMEZONE="Asia/Seoul")
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(b"{}", mtime=0), "zcat baseline.jsonl | delivery import -"),
        (b'[{"order_id": 1}]', "jq -c '.[]' baseline.jsonl | delivery import -"),
        ("{}".encode("utf-16"), "iconv -f UTF-16 -t UTF-8 baseline.jsonl | delivery import -"),
        (b"PAR1", "Parquet data, and each line is an order"),
    ],
)
def test_a_file_without_lines_is_refused_with_what_gives_them(
    delivery: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("baseline.jsonl").write_bytes(content)
    done = delivery("import", "baseline.jsonl")
    assert done.returncode == 2
    assert said in done.stderr


def test_a_byte_order_mark_is_left_out(delivery: Run, connection: Connection) -> None:
    done = delivery("import", "-", stdin=f"\ufeff{json.dumps(known(1))}\n")
    assert (done.returncode, done.stdout) == (0, "")


def test_pages_show_where_an_imported_payload_comes_from(connection: Connection) -> None:
    take_over(connection, known(1))
    ((payload,),) = connection.execute("SELECT payload::text FROM processed_events")
    assert '"source": "delivery.importBaseline"' in masked_payload(payload)


# Interruptions, neighbours


MANY = 60_000


@pytest.fixture
def long_file(tmp_path: Path) -> str:
    path = tmp_path / "long.jsonl"
    lines = [json.dumps(known(n, n % 60, quantity=n % 9)) for n in range(1, MANY + 1)]
    random.Random(4).shuffle(lines)
    path.write_text("\n".join(lines))
    return str(path)


@contextmanager
def in_mid_run(url: str, connection: Connection, file: str) -> Iterator["subprocess.Popen[str]"]:
    """An import that has committed something, and is not done."""
    with subprocess.Popen(
        [sys.executable, "-m", "delivery", "import", file],
        env=environment(url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        while not connection.execute("SELECT FROM deliveries LIMIT 1").fetchall():
            assert process.poll() is None
        yield process


def assert_all_taken_over(
    connection: Connection, contents: Contents, run: Callable[[], Any]
) -> None:
    counts = "SELECT count(*), count(DISTINCT order_id) FROM processed_events"
    assert connection.execute(counts).fetchall() == [(MANY, MANY)]
    assert connection.execute("SELECT count(*) FROM deliveries").fetchall() == [(MANY,)]
    assert found(connection) == []
    before = contents()
    assert run().stderr == f"imported: 0, known before: {MANY}, not taken over: 0\n"
    assert contents() == before


def test_a_ctrl_c_tells_what_is_kept_and_the_next_run_does_the_rest(
    delivery: Run, database_url: str, connection: Connection, long_file: str, contents: Contents
) -> None:
    with in_mid_run(database_url, connection, long_file) as process:
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    ((kept,),) = connection.execute("SELECT count(*) FROM processed_events")
    assert told == (
        f"interrupted: imported: {kept}, known before: 0, not taken over: 0; "
        "what is imported stays, so run it again\n"
    )
    assert 0 < kept < MANY
    rest = delivery("import", long_file)
    assert rest.stderr == f"imported: {MANY - kept}, known before: {kept}, not taken over: 0\n"
    assert_all_taken_over(connection, contents, lambda: delivery("import", long_file))


def test_a_run_that_is_killed_is_run_again(
    delivery: Run, database_url: str, connection: Connection, long_file: str, contents: Contents
) -> None:
    for _ in range(3):
        with in_mid_run(database_url, connection, long_file) as process:
            process.kill()
    delivery("import", long_file)
    assert_all_taken_over(connection, contents, lambda: delivery("import", long_file))


def test_two_imports_of_one_name_at_once_have_runs_of_their_own(
    database_url: str, connection: Connection, contents: Contents
) -> None:
    mine = [known(n, quantity=1) for n in range(1, 3001)]
    shared = [known(n, quantity=1) for n in range(6001, 8001)]
    other = [known(n, quantity=1) for n in range(3001, 6001)]
    start = threading.Barrier(2)

    def run(lines: list[dict[str, Any]]) -> None:
        with database.connect(SecretStr(database_url), "test") as own:
            start.wait()
            assert take_over(own, *lines, size=500) == []

    threads = [threading.Thread(target=run, args=([*x, *shared],)) for x in (mine, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    runs = "SELECT DISTINCT record_partition FROM processed_events ORDER BY 1"
    assert connection.execute(runs).fetchall() == [(0,), (1,)]
    assert connection.execute("SELECT count(*) FROM processed_events").fetchall() == [(8000,)]
    assert found(connection) == []


def test_a_worker_beside_an_import_makes_each_delivery_once(
    database_url: str, connection: Connection, contents: Contents
) -> None:
    orders = range(1, 4001)
    lines = [known(n, 5, quantity=1) for n in orders]
    events = [value(n, minute, quantity=1) for n in orders for minute in (4, 5, 6)]
    random.Random(1).shuffle(events)
    random.Random(2).shuffle(lines)
    start = threading.Barrier(2)

    def work() -> None:
        with database.connect(SecretStr(database_url), "test") as own:
            start.wait()
            for first in range(0, len(events), 500):
                process(own, *events[first : first + 500], first=first)

    worker = threading.Thread(target=work)
    worker.start()
    start.wait()
    assert take_over(connection, *lines, size=200) == []
    worker.join()
    assert connection.execute(DELIVERIES).fetchall() == [(n, "pending", 1, at(6)) for n in orders]
    ((rows,),) = connection.execute("SELECT count(*) FROM processed_events")
    assert rows == 3 * len(orders)
    assert found(connection) == []
    before = contents()
    take_over(connection, *lines)
    assert contents() == before


def test_an_import_that_loses_every_race_is_written_in_halves(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert = Statements.insert_entries

    def overtaken(self: Statements, entries: Sequence[Entry], consumed_at: datetime) -> None:
        if len(entries) > 3:
            raise RaceError("a key was taken in between")
        insert(self, entries, consumed_at)

    monkeypatch.setattr(Statements, "insert_entries", overtaken)
    assert take_over(connection, *[known(n, 5) for n in range(1, 21)]) == []
    assert len(connection.execute(DELIVERIES).fetchall()) == 20


def test_a_file_and_redis_at_once_or_neither_is_a_usage_error(delivery: Run) -> None:
    assert delivery("import").returncode == 2


# Redis


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[redis_server.RedisServer]:
    server = redis_server.start(tmp_path / "redis")
    yield server
    server.kept.stop()


def test_the_keys_of_a_real_redis_are_taken_over(
    delivery: Run, redis: redis_server.RedisServer, connection: Connection, contents: Contents
) -> None:
    client = redis.client()
    times = {f"event:order:{n}": at(0).replace(tzinfo=None).isoformat() for n in range(1, 5001)}
    client.mset(times | {"event:order:x": "2026-01-01T00:00", "other:1": "x"})
    client.set("event:order:6000", "soon")
    client.rpush("event:order:6002", "a list")
    client.set("event:order:6001", "2026-11-01T01:00", ex=86400)
    url = f"redis://127.0.0.1:{redis.port}/0"
    done = delivery("import", "--redis", url)
    assert done.returncode == 1
    assert done.stderr == "imported: 5001, known before: 0, not taken over: 3\n"
    assert sorted(line.partition(": ")[2] for line in done.stdout.splitlines()) == [
        "event:order:6000: the value is not ISO 8601 such as 2026-01-01T00:01:14.254Z",
        "event:order:6002 is a list, and no time",
        "event:order:x does not end with an order's id",
    ]
    assert process(connection, value(77), value(78, -1), value(6001)) == {
        "duplicate": 2,
        "stale": 1,
    }
    before = contents()
    assert "known before: 5001" in delivery("import", "--redis", url).stderr
    assert contents() == before
    assert found(connection) == []


def test_a_redis_that_is_away_or_wants_a_login_is_reported(
    delivery: Run, redis: redis_server.RedisServer
) -> None:
    away = delivery("import", "--redis", "redis://:secret@127.0.0.1:1/0")
    assert away.returncode == 3
    redis.client().config_set("requirepass", "another")
    refused = delivery("import", "--redis", f"redis://:secret@127.0.0.1:{redis.port}/0")
    assert refused.returncode == 2
    assert delivery("import", "--redis", "http://x").returncode == 2
    assert "secret" not in away.stderr + refused.stderr


@pytest.mark.parametrize(
    "url",
    [
        "redis://:{}@b@127.0.0.1:1/0",
        "redis://:{}/b@127.0.0.1:1/0",
        "redis://:1/{}@127.0.0.1:1/0",
        "redis://:1?{}@127.0.0.1:1/0",
        "redis://:1#{}@127.0.0.1:1/0",
        "rediss://u:{}@127.0.0.1:1/0#",
        "memcached://:{}@127.0.0.1:1/0",
        "{}",
    ],
)
def test_a_password_of_redis_that_is_not_percent_encoded_is_refused_and_not_told(url: str) -> None:
    pytest.importorskip("redis")
    with pytest.raises(SettingsError) as raised, redis_keys.connected(url.format("s3cr3t")):
        pass
    assert "percent-encoded" in str(raised.value)
    assert "s3cr3t" not in str(raised.value)
