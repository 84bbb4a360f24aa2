"""Clients that open connections and say nothing, say it slowly, or come by another name."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import every_outcome
import httpx
import psutil
import pytest
from every_outcome import LARGE
from served import served, wait_until

from delivery.embedded.ports import HOST, free_port
from delivery.monitoring import endpoints
from delivery.postgres.database import Connection
from delivery.web import connections

SECONDS = 10.0  # a deadline

Open = Callable[[str, bytes], socket.socket]

BEGINNING = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: "


@pytest.fixture
def open_() -> Iterator[Open]:
    """Opens a connection to the port of an address, and sends this."""
    with ExitStack() as opened:

        def connect(url: str, content: bytes) -> socket.socket:
            port = int(url.rpartition(":")[2])
            client = opened.enter_context(socket.create_connection((HOST, port), SECONDS))
            client.sendall(content)
            return client

        yield connect


@pytest.fixture
def url(database_url: str) -> Iterator[str]:
    with served(database_url) as address:
        yield address


def is_closed(client: socket.socket) -> bool:
    """Waits until the server has closed the connection."""
    with contextlib.suppress(ConnectionError):
        while client.recv(65536):
            pass
    return True


# Deadlines


@pytest.mark.parametrize("content", [b"", b"GET", BEGINNING])
def test_a_client_that_sends_no_whole_request_is_cut_off(
    url: str, open_: Open, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEADER_TIMEOUT_S", 0.2)
    assert is_closed(open_(url, content))


def test_headers_that_come_slowly_are_cut_off_too(
    url: str, open_: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEADER_TIMEOUT_S", 0.2)
    client = open_(url, BEGINNING)
    client.settimeout(0.05)
    for _ in range(100):
        try:
            client.sendall(b"x")
            if client.recv(100) == b"":
                return
        except TimeoutError:
            continue
        except ConnectionError:
            return
    raise AssertionError("it still listens")


def test_so_are_those_after_an_answer_and_a_body_that_never_comes(
    url: str, open_: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEADER_TIMEOUT_S", 0.2)
    first = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert is_closed(open_(url, first + BEGINNING))
    post = b"POST /api/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n{"
    assert is_closed(open_(url, post))


def test_a_request_in_time_is_answered_however_long_the_answer_takes(
    connection: Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEADER_TIMEOUT_S", 0.2)
    with (
        served(database_url, web_statement_timeout=1) as address,
        connection.transaction(),
    ):
        connection.execute("LOCK TABLE deliveries IN ACCESS EXCLUSIVE MODE")
        assert httpx.get(f"{address}/orders/1", timeout=SECONDS).status_code == 503


def test_a_client_that_reads_nothing_is_cut_off(
    connection: Connection, database_url: str, open_: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "READ_TIMEOUT_S", 0.2)
    every_outcome.fill(connection)
    request = b"GET /api/orders/%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % LARGE
    with served(database_url, web_show_personal_data=True) as address:
        client = open_(address, request * 20)  # a megabyte each: more than the kernel takes
        wait_until(lambda: client.getsockname() in _peers())
        wait_until(lambda: client.getsockname() not in _peers())


def _peers() -> set[tuple[str, int]]:
    """The clients of connections that this process has accepted, or has made."""
    found = psutil.Process().net_connections("tcp")
    return {tuple(c.raddr) for c in found if c.raddr}


# Numbers


def test_beyond_the_cap_the_connection_that_is_idle_for_the_longest_makes_room(
    url: str, open_: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "most_connections", lambda: 20)
    idle = [open_(url, b"GET") for _ in range(60)]
    assert httpx.get(f"{url}/healthz", timeout=SECONDS).status_code == 200
    assert all(is_closed(client) for client in idle[:40])


def test_whoever_can_not_have_a_connection_to_the_database_is_reported_within_two_seconds(
    connection: Connection, database_url: str
) -> None:
    with (
        served(database_url, web_pool_size=1) as address,
        ThreadPoolExecutor() as threads,
        connection.transaction(),
    ):
        connection.execute("LOCK TABLE deliveries IN ACCESS EXCLUSIVE MODE")
        get = lambda: httpx.get(f"{address}/api/orders/1", timeout=30)  # noqa: E731
        first = threads.submit(get)
        while not _waits(connection):
            time.sleep(0.02)
        started = time.monotonic()
        second = get()
        took = time.monotonic() - started
        assert first.result(30).status_code == 503
    assert (second.status_code, second.json()["status"]) == (503, 503)
    assert 1 < took < 3


def _waits(connection: Connection) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    return connection.execute(query).fetchone() == (1,)


# Names


@pytest.mark.parametrize("path", ["/", "/orders/1", "/orders/", "/api/events", "/static/style.css"])
def test_a_request_by_a_foreign_name_is_refused_and_leads_nowhere(url: str, path: str) -> None:
    answer = httpx.get(url + path, headers={"Host": "evil.example:8080"})
    assert answer.status_code == 400
    assert "evil.example" not in answer.text + str(answer.headers)
    assert "content-security-policy" in answer.headers
    assert "location" not in answer.headers


def test_probes_are_answered_by_any_name(url: str) -> None:
    for path in ("/healthz", "/readyz"):
        assert httpx.get(url + path, headers={"Host": "pod"}).status_code == 200


def test_a_name_that_was_set_is_answered(database_url: str) -> None:
    with served(database_url, web_allowed_hosts="delivery.example.com, *.internal") as address:
        for host in ("delivery.example.com", "DELIVERY.example.com:80", "a.b.internal"):
            assert httpx.get(address, headers={"Host": host}).status_code == 200
        assert httpx.get(address, headers={"Host": "example.com"}).status_code == 400


@pytest.mark.parametrize(
    "path", ["/orders/", "/events/", "/api/events/", "/static", "//evil.example"]
)
def test_a_slash_too_many_is_no_redirect(url: str, path: str) -> None:
    assert httpx.get(url + path).status_code == 404


# A worker's port


def test_idle_clients_of_a_workers_port_keep_nobody_out_and_leave_no_traceback(
    open_: Open, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(endpoints._Handler, "timeout", 0.2)
    port = free_port()
    app = endpoints.application({"/green": endpoints.checked(lambda: {"one": None})})
    endpoints.serve(HOST, port, app)
    address = f"http://{HOST}:{port}"
    idle = [open_(address, b"GET /gr") for _ in range(100)]
    assert httpx.get(f"{address}/green").status_code == 200
    for client in idle[:50]:
        client.close()
    assert all(is_closed(client) for client in idle[50:])
    assert httpx.get(f"{address}/green").status_code == 200
    assert capfd.readouterr() == ("", "")


def test_an_endpoint_with_a_bug_is_a_line_and_an_answer(
    capfd: pytest.CaptureFixture[str],
) -> None:
    port = free_port()
    endpoints.serve(HOST, port, endpoints.application({"/": endpoints.checked(lambda: 1 / 0)}))  # type: ignore[arg-type,return-value]
    assert httpx.get(f"http://{HOST}:{port}/").status_code == 500
    said = "".join(capfd.readouterr())
    assert "a bug in an endpoint" in said
