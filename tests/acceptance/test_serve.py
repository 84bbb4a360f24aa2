"""`delivery serve` as people run it: a real process beside workers, outages, its end."""

import json
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import processes
import psutil
import pytest
from processes import Process, wait_until
from psycopg import sql
from pydantic import SecretStr
from service import Service
from stream import stream, truth

from delivery.embedded import postgres
from delivery.embedded.postgres import PostgresServer
from delivery.postgres import migrations
from delivery.postgres.database import Connection
from delivery.postgres.roles import grant

Serve = Callable[..., Process]
Connect = Callable[[Process], httpx.Client]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts `delivery serve` with these options and settings; it is killed after the test."""
    started: list[Process] = []

    def start(*options: str, **settings: str) -> Process:
        log = tmp_path / f"serve-{len(started)}"
        started.append(processes.start(log, ["-m", "delivery", "serve", *options], settings))
        return started[-1]

    yield start
    for process in started:
        process.running.kill()
        process.running.wait()


@pytest.fixture
def connect() -> Iterator[Callable[[Process], httpx.Client]]:
    """Connects to a service that was started, as soon as it says its address."""
    with ExitStack() as opened:

        def open_(process: Process) -> httpx.Client:
            client = httpx.Client(base_url=address(process), timeout=30)
            return opened.enter_context(client)

        yield open_


def lines(process: Process, event: str) -> list[dict[str, Any]]:
    """What it has logged of this kind."""
    said = [json.loads(line) for line in process.stderr().splitlines() if line.startswith("{")]
    return [line for line in said if line["event"] == event]


def address(process: Process) -> str:
    """Where it says that it listens."""
    wait_until(lambda: bool(lines(process, "serving")), "it says its address", process)
    return str(lines(process, "serving")[0]["url"])


def test_it_tells_what_workers_do_meanwhile_and_how_far_they_are(
    service: Service, serve: Serve, connect: Connect
) -> None:
    served = serve("--port", "0", **service.settings)
    client = connect(served)
    assert client.get("/api/events").json()["events"] == []
    sent = stream(21, 500)
    service.publish(sent)

    def lag() -> list[int] | None:
        partitions = client.get("/api/stats").json()["lag"]
        return None if partitions is None else [partition["lag"] for partition in partitions]

    wait_until(lambda: lag() == [500], "the lag is told", served)
    service.drain()
    wait_until(lambda: lag() == [0], "the lag is gone", served)
    outcomes = [e["outcome"] for e in client.get("/api/events?limit=1000").json()["events"]]
    assert len(outcomes) == 500
    assert Counter(outcomes) == Counter(truth(sent).outcomes.values())
    assert served.end(signal.SIGTERM) == 0
    assert service.committed() == {0: 500}  # nothing of it is the service's doing


def test_a_worker_that_ended_is_missed_within_ten_seconds_on_the_first_page(
    service: Service, serve: Serve, connect: Connect
) -> None:
    worker = service.worker()
    service.wait_for_members(1)
    served = serve("--port", "0", **service.settings)
    client = connect(served)
    wait_until(lambda: "up to date" in client.get("/").text, "the worker is seen", served)
    assert "Nobody consumes" not in client.get("/").text
    worker.end(signal.SIGTERM)
    ended = time.monotonic()
    wait_until(lambda: "Nobody consumes" in client.get("/").text, "it is missed", served)
    assert time.monotonic() - ended < 10


def test_its_log_has_no_order_and_no_filter_of_anybody(
    database_url: str, serve: Serve, connect: Connect
) -> None:
    served = serve("--port", "0", database_url=database_url)
    client = connect(served)
    client.get("/api/orders/4711")
    client.get("/api/events?record=secret/0/1")
    client.get("/secret")
    wait_until(lambda: len(lines(served, "answered")) == 3, "they are logged", served)
    paths = [line["path"] for line in lines(served, "answered")]
    assert paths == ["/api/orders/{order_id}", "/api/events", None]
    assert len({line["request_id"] for line in lines(served, "answered")}) == 3
    assert served.end(signal.SIGINT) == 0
    assert "4711" not in served.stderr()
    assert "secret" not in served.stderr()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL that the test may stop."""
    server = postgres.start(tmp_path / "postgres", settings={"fsync": "off"})
    migrations.upgrade(SecretStr(server.url))
    yield server
    server.stop()


def test_an_outage_is_said_and_it_recovers_by_itself(
    own_server: PostgresServer, serve: Serve, tmp_path: Path, connect: Connect
) -> None:
    served = serve("--port", "0", database_url=own_server.url)
    client = connect(served)
    assert client.get("/readyz").status_code == 200
    own_server.stop()
    answer = client.get("/api/events")
    assert (answer.status_code, answer.json()["status"]) == (503, 503)
    assert int(answer.headers["retry-after"]) > 0
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200
    again = postgres.start(tmp_path / "postgres", port=own_server.port)
    try:
        wait_until(lambda: client.get("/api/events").is_success, "it recovers", served)
        assert client.get("/readyz").status_code == 200
        assert served.end(signal.SIGTERM) == 0
    finally:
        again.stop()


def test_sigterm_during_an_outage_ends_it_too(
    own_server: PostgresServer, serve: Serve, connect: Connect
) -> None:
    served = serve("--port", "0", database_url=own_server.url)
    client = connect(served)
    own_server.stop()
    assert client.get("/readyz").status_code == 503
    assert served.end(signal.SIGTERM, seconds=30) == 0


def test_sigterm_ends_it_while_the_database_is_frozen(
    own_server: PostgresServer, serve: Serve, connect: Connect
) -> None:
    served = serve("--port", "0", database_url=own_server.url)
    client = connect(served)
    assert client.get("/readyz").status_code == 200
    with frozen(own_server.pid), ThreadPoolExecutor() as threads:
        asked = threads.submit(client.get, "/api/events")
        assert client.get("/healthz").status_code == 200
        assert served.end(signal.SIGTERM, seconds=30) == 0
    assert asked.done()


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A server whose processes are stopped; they go on afterwards."""
    server = psutil.Process(pid)
    ours = [server, *server.children(recursive=True)]
    for process in ours:
        process.suspend()
    try:
        yield
    finally:
        for process in ours:
            process.resume()


# `delivery serve` with 1,024 file descriptors.
FEW_DESCRIPTORS = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
from delivery import cli
sys.argv[1:] = ["serve", "--port", "0"]
sys.exit(cli.run())
"""


def test_1100_half_open_requests_keep_nobody_out(
    tmp_path: Path, database_url: str, connect: Connect
) -> None:
    arguments = ["-c", FEW_DESCRIPTORS]
    served = processes.start(tmp_path / "log", arguments, {"database_url": database_url})
    port = int(address(served).rpartition(":")[2])
    try:
        with ExitStack() as open_:
            for _ in range(1100):
                client = open_.enter_context(socket.create_connection(("127.0.0.1", port), 10))
                client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-")
            before = psutil.Process(served.running.pid).cpu_times().user
            started = time.monotonic()
            for path in ("/healthz", "/api/events", "/") * 5:
                assert httpx.get(f"http://127.0.0.1:{port}{path}", timeout=10).status_code == 200
            took = time.monotonic() - started
            used = psutil.Process(served.running.pid).cpu_times().user - before
            assert psutil.Process(served.running.pid).num_fds() < 700
    finally:
        served.end(signal.SIGTERM)
    assert took < 10
    assert used < 5
    assert len(served.stderr()) < 10_000


@pytest.mark.parametrize(
    ("host", "shows", "level"),
    [
        ("127.0.0.1", "true", None),
        ("localhost", "false", None),
        ("0.0.0.0", "false", "warning"),
        ("0.0.0.0", "true", "critical"),
    ],
)
def test_it_warns_where_others_can_reach_it_and_louder_where_they_see_personal_data(
    database_url: str, serve: Serve, host: str, shows: str, level: str | None
) -> None:
    settings = {"database_url": database_url, "web_show_personal_data": shows}
    served = serve("--host", host, "--port", "0", **settings)
    assert httpx.get(f"{address(served)}/healthz").status_code == 200
    said = [json.loads(line) for line in served.stderr().splitlines()]
    warned = [line["level"] for line in said if "no login" in line["event"]]
    assert warned == ([level] if level else [])


def test_it_does_not_warn_where_a_login_is_asked_for(database_url: str, serve: Serve) -> None:
    settings = {"web_login": "proxy", "web_trusted_proxies": "10.0.0.1"}
    served = serve("--host", "0.0.0.0", "--port", "0", database_url=database_url, **settings)
    assert httpx.get(f"{address(served)}/healthz").status_code == 200
    assert httpx.get(f"{address(served)}/").status_code == 403
    assert "no login" not in served.stderr()


def test_half_a_login_is_a_line(database_url: str, serve: Serve) -> None:
    served = serve(database_url=database_url, web_login="basic")
    assert served.exit_code() == 2
    assert "DELIVERY_WEB_LOGIN is basic, which needs DELIVERY_WEB_USERS_FILE" in the_line(served)


def test_a_database_that_can_not_be_reached_at_the_start_is_reported(serve: Serve) -> None:
    served = serve(database_url="postgresql://nobody@127.0.0.1:1/none")
    assert served.exit_code() == 3
    assert "can't be reached" in the_line(served)


def test_a_database_that_is_not_migrated_is_reported(empty_database_url: str, serve: Serve) -> None:
    served = serve(database_url=empty_database_url)
    assert served.exit_code() == 2
    assert "run `delivery migrate`" in the_line(served)


def test_a_port_that_is_taken_is_reported(database_url: str, serve: Serve) -> None:
    port = address(serve("--port", "0", database_url=database_url)).rpartition(":")[2]
    served = serve("--port", port, database_url=database_url)
    assert served.exit_code() == 2
    assert f"127.0.0.1 port {port}" in the_line(served)


def test_a_wrong_setting_is_reported(serve: Serve) -> None:
    served = serve(database_url="postgresql://nobody@127.0.0.1:1/none", web_pool_size="0")
    assert served.exit_code() == 2
    assert "DELIVERY_WEB_POOL_SIZE" in the_line(served)


def test_without_the_extra_the_line_says_what_to_install(tmp_path: Path, database_url: str) -> None:
    without = (
        "import sys; sys.modules['uvicorn'] = None; sys.argv[1:] = ['serve']; "
        "from delivery import cli; sys.exit(cli.run())"
    )
    served = processes.start(tmp_path / "log", ["-c", without], {"database_url": database_url})
    assert served.exit_code() == 2
    assert "pip install 'delivery[web]'" in the_line(served)


def test_a_role_that_may_only_read_is_enough(
    connection: Connection, database_url: str, serve: Serve
) -> None:
    role = connection.info.dbname + "_reader"
    connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
    as_role = database_url.replace("postgres@", f"{role}@")
    refused = serve("--port", "0", web_database_url=as_role)
    assert refused.exit_code() == 2
    grant(SecretStr(database_url), "reader", role)
    url = address(serve("--port", "0", web_database_url=as_role))
    assert httpx.get(f"{url}/readyz").status_code == 200
    assert httpx.get(f"{url}/api/stats").status_code == 200
    assert httpx.get(f"{url}/").status_code == 200


def the_line(process: Process) -> str:
    (line,) = process.stderr().splitlines()
    assert line.startswith("delivery: ")
    return line
