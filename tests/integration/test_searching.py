"""Pages and API find events without the order's id, for those who may see what is found."""

import csv
import html
import re
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from io import StringIO
from typing import Any, Protocol

import pytest
import searched
from fastapi import Request
from httpx import Client, Response
from searched import FIRST, SECOND
from served import served
from structlog.testing import CapturingLogger

from delivery.postgres.database import Connection
from delivery.settings import WebSettings
from delivery.web import searching
from delivery.web.app import create_app
from delivery.web.identity import Identity

LEE = {"X-Forwarded-User": "lee", "X-Forwarded-Groups": "privacy"}  # may see personal data
KIM = {"X-Forwarded-User": "kim"}  # an operator
LOGIN = {
    "web_login": "proxy",
    "web_trusted_proxies": "127.0.0.1",
    "web_personal_data_readers": "group:privacy",
    "web_operators": "kim",
}
ROWS = re.compile(r'<td role="cell" data-label="Outcome"><span class="badge (\w+)">')


class MakeClient(Protocol):
    """A client of a service with these settings."""

    def __call__(self, **settings: Any) -> Client: ...


@pytest.fixture
def make_client(connection: Connection, database_url: str) -> Iterator[MakeClient]:
    searched.fill(connection)
    with ExitStack() as running:

        def make(**settings: Any) -> Client:
            address = running.enter_context(served(database_url, **settings))
            return running.enter_context(Client(base_url=address, timeout=20))

        yield make


def outcomes(client: Client, **query: Any) -> list[str]:
    answer = client.get("/api/v1/events", params=query)
    assert answer.status_code == 200, answer.text
    return [event["outcome"] for event in answer.json()["events"]]


def text(page: Response) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page.text)).split())


def test_everybody_finds_an_event_by_its_id(make_client: MakeClient) -> None:
    client = make_client()
    page = client.get("/events", params={"event_id": FIRST})
    assert ROWS.findall(page.text) == ["rejected", "duplicate", "created"]
    assert outcomes(client, event_id=FIRST) == ["rejected", "duplicate", "created"]
    assert outcomes(client, event_id=FIRST, outcome="created") == ["created"]
    assert outcomes(client, event_id=FIRST.replace("7", "8")) == []
    nothing = client.get("/events", params={"event_id": FIRST.replace("7", "8")})
    assert "No record matches all of these filters." in text(nothing)


def test_the_pages_of_a_search_and_its_download_hold_it_whole(make_client: MakeClient) -> None:
    client = make_client()
    answer = client.get("/api/v1/events", params={"event_id": FIRST, "limit": 2})
    older = client.get(answer.links["next"]["url"])
    found = answer.json()["events"] + older.json()["events"]
    assert [event["outcome"] for event in found] == ["rejected", "duplicate", "created"]
    assert older.json()["next"] is None
    page = client.get("/events", params={"event_id": FIRST})
    (link,) = re.findall(r'href="(/api/v1/events[^"]*format=csv)"', page.text)
    lines = list(csv.DictReader(StringIO(client.get(html.unescape(link)).text)))
    assert [line["outcome"] for line in lines] == ["rejected", "duplicate", "created"]


def test_who_sees_personal_data_finds_orders_by_customer_and_letters_by_text(
    make_client: MakeClient,
) -> None:
    client = make_client(web_show_personal_data=True)
    every_record = ["updated", "rejected", "duplicate", "created"]
    assert ROWS.findall(client.get("/events", params={"ordered_by": 4701}).text) == every_record
    assert outcomes(client, ordered_by=4701) == every_record
    assert outcomes(client, ordered_by=-4701) == []
    assert outcomes(client, event_id="conflict-7") == ["conflict", "created"]
    page = client.get("/dead-letters", params={"text": "문 앞"})
    assert re.findall(r'href="/dead-letters/(\d+)\?text=', page.text) == ["2"]
    answer = client.get("/api/v1/dead-letters", params={"text": "문 앞"})
    assert [letter["dead_letter_id"] for letter in answer.json()["dead_letters"]] == [2]


PERSONAL = [
    ("events", {"ordered_by": "4701"}),
    ("events", {"event_id": "conflict-7"}),  # not as ids are made: it may be anything
    ("dead-letters", {"text": "Kim"}),
]


@pytest.mark.parametrize(("path", "query"), PERSONAL)
def test_who_sees_masks_can_t_ask_whether_personal_data_is_there(
    make_client: MakeClient, path: str, query: dict[str, str]
) -> None:
    client = make_client()
    ((field, _),) = query.items()
    page = client.get(f"/{path}", params=query)
    assert page.status_code == 422
    assert "nly those who may see personal data search by this" in text(page)
    assert not re.findall(r'<td role="cell"', page.text)
    for form in ("json", "csv", "ndjson"):
        answer = client.get(f"/api/v1/{path}", params=query | {"format": form})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (403, field)


@pytest.mark.parametrize(("path", "query"), PERSONAL)
def test_the_role_that_sees_personal_data_searches_by_it_and_others_do_not(
    make_client: MakeClient, path: str, query: dict[str, str]
) -> None:
    client = make_client(**LOGIN)
    for headers, page, answer in ((LEE, 200, 200), (KIM, 422, 403)):
        assert client.get(f"/{path}", params=query, headers=headers).status_code == page
        found = client.get(f"/api/v1/{path}", params=query, headers=headers)
        assert found.status_code == answer


def test_fields_are_offered_to_those_who_may_use_them(make_client: MakeClient) -> None:
    client = make_client(**LOGIN)
    for path, field in (("/events", "ordered_by"), ("/dead-letters", "text")):
        assert f'name="{field}"' in client.get(path, headers=LEE).text
        assert f'name="{field}"' not in client.get(path, headers=KIM).text


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"event_id": FIRST, "ordered_by": "1"}, "ordered_by"),
        ({"event_id": "it's"}, "event_id"),
        ({"ordered_by": "Kim"}, "ordered_by"),
        ({"ordered_by": str(2**63)}, "ordered_by"),
    ],
)
def test_a_search_that_can_t_be_names_its_field(
    make_client: MakeClient, query: dict[str, str], field: str
) -> None:
    client = make_client(web_show_personal_data=True)
    page = client.get("/events", params=query)
    assert (page.status_code, f'id="{field}-error"' in page.text) == (422, True)
    answer = client.get("/api/v1/events", params=query)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


def test_who_follows_the_log_does_not_search(make_client: MakeClient) -> None:
    client = make_client()
    answer = client.get("/api/v1/events", params={"event_id": SECOND, "after": "start"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "after")


def test_a_search_that_takes_too_long_says_what_to_do(
    make_client: MakeClient, connection: Connection
) -> None:
    client = make_client(web_statement_timeout=timedelta(seconds=1))
    with connection.transaction():
        connection.execute("LOCK duplicate_events IN ACCESS EXCLUSIVE MODE")
        page = client.get("/events", params={"event_id": FIRST})
        answer = client.get("/api/v1/events", params={"event_id": FIRST})
    for found in (page, answer):
        assert found.status_code == 503
        assert "DELIVERY_WEB_STATEMENT_TIMEOUT" in found.text
        assert "delivery migrate --search-indexes" in found.text


def test_a_page_says_whether_a_search_is_slow(
    make_client: MakeClient, connection: Connection
) -> None:
    client = make_client()
    slow = "A search by event id or customer reads all rows"
    assert slow in text(client.get("/events"))
    connection.execute("CREATE INDEX ix_processed_events_event_id ON processed_events (order_id)")
    assert slow not in text(client.get("/events"))


def test_who_searched_by_personal_data_is_logged_and_not_for_what(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = CapturingLogger()
    monkeypatch.setattr(searching, "log", log)
    visitor = Identity("lee", frozenset({"personal_data"}))
    for is_for_everybody in (False, True):
        settings = WebSettings(
            web_database_url="postgresql://nobody@127.0.0.1:1/none",
            web_show_personal_data=is_for_everybody,
        )
        scope = {"type": "http", "app": create_app(settings), "state": {"identity": visitor}}
        searching.note(Request(scope), "text")
    (call,) = log.calls
    assert call.args == ("searched by personal data",)
    assert call.kwargs == {"by": "lee", "field": "text"}
