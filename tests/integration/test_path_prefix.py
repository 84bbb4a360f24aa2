"""The pages below a path of a proxy, whether it takes that path away or not."""

import html
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from every_outcome import fill
from httpx import Client, Response
from served import served
from test_acting import OTHERS

from delivery.postgres.database import Connection

PREFIX = "/tools/delivery"
OPERATOR = {"X-Forwarded-User": "kim"}
ADDRESS = re.compile(r'(?:href|src|action)="([^"#][^"]*)"')
# The pages that nothing must be missing from: what a crawl has to have come by.
KINDS = ("/", "/events", "/orders/1", "/dead-letters/", "/dead-letters/resolve", "/causes")
KINDS += ("/actions", "/api/docs", "/api/v1/events", "/static/style.css", "/static/swagger/")

Get = Callable[..., Response]


@pytest.fixture(params=["the proxy takes it away", "the proxy leaves it"])
def get(
    request: pytest.FixtureRequest, database_url: str, operator_url: str, connection: Connection
) -> Iterator[Get]:
    """Asks as a browser in front of the proxy does: only what is below the prefix gets here."""
    fill(connection)
    connection.execute(OTHERS, (60,))
    is_taken = request.param == "the proxy takes it away"
    settings: dict[str, Any] = {
        "web_path_prefix": PREFIX,
        "web_login": "proxy",
        "web_trusted_proxies": "127.0.0.1",
        "web_operators": "kim",
        "web_operator_database_url": operator_url,
    }
    with served(database_url, **settings) as url, Client(base_url=url, timeout=30) as client:

        def asked(address: str, method: str = "GET", **options: Any) -> Response:
            assert address.startswith(f"{PREFIX}/"), address
            path = address.removeprefix(PREFIX) if is_taken else address
            return client.request(method, path, headers=OPERATOR, **options)

        yield asked


def test_each_link_of_each_page_is_below_the_prefix_and_leads_somewhere(get: Get) -> None:
    seen: set[str] = set()
    todo = [f"{PREFIX}/"]
    while todo:
        address = todo.pop()
        bare = address.partition("?")[0]
        if address in seen or sum(other.partition("?")[0] == bare for other in seen) > 5:
            continue
        seen.add(address)
        page = get(address)
        # a form without its fields, and an order that a filter leaves nothing of
        assert page.status_code in {200, 303, 422}, address
        if page.status_code == 422:
            assert bare in {f"{PREFIX}/orders", f"{PREFIX}/language"}, address
        if page.headers.get("content-type", "").startswith("text/html"):
            todo += [html.unescape(found) for found in ADDRESS.findall(page.text)]
        if found := re.search("<([^>]*)>", page.headers.get("link", "")):
            todo.append(found[1])
        if "location" in page.headers:
            todo.append(page.headers["location"])
    for kind in KINDS:
        assert any(address.startswith(f"{PREFIX}{kind}") for address in seen), kind


def test_what_is_sent_leads_back_below_the_prefix(get: Get) -> None:
    found = get(f"{PREFIX}/orders", params={"order_id": "1"})
    assert (found.status_code, found.headers["location"]) == (303, f"{PREFIX}/orders/1")
    asked = get(f"{PREFIX}/dead-letters/resolve?reason=not_json")
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', asked.text))
    form = {name: html.unescape(value) for name, value in fields.items()}
    form |= {"action": "discard", "note": "a test"}
    done = get(f"{PREFIX}/dead-letters/resolve", "POST", data=form)
    assert done.status_code == 303, done.text
    assert done.headers["location"].startswith(f"{PREFIX}/actions/")
    assert get(done.headers["location"]).status_code == 200


def test_a_zone_is_kept_for_these_pages_alone_and_leads_back(get: Get) -> None:
    shown = get(f"{PREFIX}/events?outcome=created")
    back, _ = re.findall(r'name="back" value="([^"]*)"', shown.text)
    chosen = get(f"{PREFIX}/time-zone", params={"name": "KST", "back": html.unescape(back)})
    assert chosen.headers["location"] == f"{PREFIX}/events?outcome=created"
    assert f"Path={PREFIX};" in chosen.headers["set-cookie"]


def test_a_program_finds_the_prefix_in_the_description_and_in_the_next_link(get: Get) -> None:
    description = get(f"{PREFIX}/api/v1/openapi.json").json()
    assert description["servers"] == [{"url": PREFIX}]
    first = get(f"{PREFIX}/api/v1/dead-letters", params={"limit": "20"})
    (following,) = re.findall('<([^>]*)>; rel="next"', first.headers["link"])
    letters = {letter["dead_letter_id"] for letter in first.json()["dead_letters"]}
    more = {letter["dead_letter_id"] for letter in get(following).json()["dead_letters"]}
    assert len(letters) == len(more) == 20
    assert not letters & more


def test_a_path_that_only_begins_like_the_prefix_is_another(
    database_url: str, connection: Connection
) -> None:
    del connection
    with served(database_url, web_path_prefix="/delivery") as url, Client(base_url=url) as client:
        assert client.get("/delivery").status_code == 200
        assert client.get("/delivery/healthz").status_code == 200
        assert client.get("/healthz").status_code == 200
        assert client.get("/deliveryevents").status_code == 404
        assert client.get("/delivery/delivery/events").status_code == 404
