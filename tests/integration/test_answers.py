"""What all answers of `delivery serve` share, whatever was asked for."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import every_outcome
import httpx
import pytest
from served import served

from delivery.postgres.database import Connection
from delivery.web import queries

PATHS = ["/", "/nowhere", "/static/icon.svg", "/healthz", "/api/nowhere", "/api/docs",
         "/api/orders/x", "/api/events", "/api/v1/events"]  # fmt: skip

PLAIN = {"Accept-Encoding": "identity"}


@pytest.fixture
def client(connection: Connection, database_url: str) -> Iterator[httpx.Client]:
    """A service with fewer connections than there are requests at a time."""
    every_outcome.fill(connection)
    with (
        served(database_url, web_pool_size=2) as url,
        httpx.Client(base_url=url, timeout=30) as client,
    ):
        yield client


def test_each_has_the_headers_that_keep_browsers_from_trusting_its_content(
    client: httpx.Client,
) -> None:
    for path in PATHS:
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'")
        assert ("script-src" in headers["content-security-policy"]) == (path == "/api/docs")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        kept = "public" if path.startswith("/static") else "no-store"
        assert kept in headers["cache-control"]
        assert "server" not in headers or "uvicorn" in headers["server"]


def test_head_is_get_without_its_body(client: httpx.Client) -> None:
    for path in PATHS:
        got, head = (client.request(m, path, headers=PLAIN) for m in ("GET", "HEAD"))
        assert head.status_code == got.status_code
        assert head.headers["content-type"] == got.headers["content-type"]
        assert head.headers["content-length"] == str(len(got.content))
        assert head.content == b""


def test_nothing_can_be_sent(client: httpx.Client) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"):
        for path in ("/api/events", "/", "/static/icon.svg"):
            answer = client.request(method, path)
            assert answer.status_code == 405
            assert answer.headers["allow"] == "GET, HEAD"


def test_programs_get_problems_and_people_get_pages(client: httpx.Client) -> None:
    problem = client.get("/api/nowhere")
    assert problem.headers["content-type"] == "application/problem+json"
    assert problem.json()["status"] == 404
    page = client.get("/nowhere")
    assert page.status_code == 404
    assert page.headers["content-type"].startswith("text/html")


def test_a_bug_is_a_problem_that_tells_nothing_of_the_inside(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("with a secret")

    monkeypatch.setattr(queries, "delivery", fail)
    answer = client.get("/api/orders/1001")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "content-security-policy" in answer.headers
    said = "".join(capsys.readouterr())
    assert "RuntimeError" in said
    assert "secret" not in answer.text + said


def test_more_requests_than_connections_wait_for_their_turn(client: httpx.Client) -> None:
    with ThreadPoolExecutor(20) as threads:
        answers = threads.map(lambda _: client.get("/api/orders/1001").status_code, range(120))
        assert set(answers) == {200}


def test_only_the_page_of_the_api_has_scripts_and_they_come_from_here(
    client: httpx.Client,
) -> None:
    answer = client.get("/api/docs")
    assert "; script-src 'self'; connect-src 'self'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    linked = re.findall(r'(?:src|href)="([^"#]+)"', answer.text)
    assert all(address.startswith("/") for address in linked)
    assert {client.get(address).status_code for address in linked} == {200}


def test_each_has_the_id_of_its_request_or_one_of_its_own(client: httpx.Client) -> None:
    for path in PATHS:
        assert (
            client.get(path, headers={"X-Request-ID": "a/b:1"}).headers["x-request-id"] == "a/b:1"
        )
        assert re.fullmatch("[0-9a-f]{32}", client.get(path).headers["x-request-id"])


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a\tb", "<b>", "caf\xe9", "a,b"])
def test_an_id_that_could_break_a_log_is_replaced(client: httpx.Client, given: str) -> None:
    headers = {"X-Request-ID": given.encode("latin-1")}
    answer = client.get("/api/v1/nowhere", headers=headers)
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_a_query_that_takes_too_long_is_given_up(connection: Connection, database_url: str) -> None:
    with (
        served(database_url, web_statement_timeout=1) as url,
        httpx.Client(base_url=url, timeout=15) as client,
        connection.transaction(),
    ):
        connection.execute("LOCK TABLE deliveries IN ACCESS EXCLUSIVE MODE")
        answer = client.get("/api/orders/1")
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
