"""The pages in Korean: by the browser's language or by choice, and without a word of English."""

import html
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from every_outcome import HOSTILE, LARGE, ORDER, fill
from httpx import Client
from served import served, without_ages

from delivery.postgres.database import Connection

KOREAN = {"Accept-Language": "ko-KR,ko;q=0.9,en-US;q=0.8"}

# What is no language: records, names and numbers of somebody's, code, the zone, texts as they came.
DATA = r"code|pre|bdi|time|style|script"
# In attributes too: what is read aloud is translated, what is typed is not.
SPOKEN = re.compile(r'(?:aria-label|title|placeholder)="([^"]*)"')
# Names, abbreviations, and what is typed in English.
NAMES = {
    *("delivery", "English", "API", "HTTP", "CSV", "JSON", "lines", "Kafka", "UTC", "KST", "Asia"),
    *("Seoul", "NUL", "kB", "MB", "ID", "min", "yesterday", "TOPIC", "PARTITION", "OFFSET", "BOM"),
    *(
        "UTF",
        "latin",
        "Java",
        "base64",
        "XML",
        "HTML",
        "EUC",
        "KR",
        "cp949",
        "IMPORT",
        "RUN",
        "LINE",
        "import",
    ),
    *("OrderCreateEvent", "eventId", "NAME", "today", "null", "orders", "invisible"),
}

LETTERS = "SELECT dead_letter_id FROM dead_letters"

MakeClient = Callable[..., Client]


@pytest.fixture
def make_client(database_url: str) -> Iterator[MakeClient]:
    with ExitStack() as running:

        @contextmanager
        def visiting(**settings: Any) -> Iterator[Client]:
            with (
                served(database_url, **settings) as address,
                Client(base_url=address, timeout=30, headers=KOREAN) as client,
            ):
                yield client

        yield lambda **settings: running.enter_context(visiting(**settings))


def english(page: str) -> set[str]:
    """The words of a page that are neither Korean nor somebody's data."""
    spoken = " ".join(SPOKEN.findall(page))
    text = re.sub(rf"(?s)<({DATA})\b[^>]*>.*?</\1>", " ", page)
    text = re.sub(r'(?s)<option value="(\w+)"[^>]*>\1</option>', " ", text)
    text = re.sub(r"<[^>]*>", " ", text)
    words = re.findall(r"[A-Za-z][A-Za-z_]+", html.unescape(f"{text} {spoken}"))
    return {word for word in words if word not in NAMES and not word.startswith("DELIVERY_")}


@pytest.mark.parametrize("zone", ["UTC", "Asia/Seoul"])
def test_no_page_has_an_english_word(
    zone: str, make_client: MakeClient, connection: Connection
) -> None:
    fill(connection)
    client = make_client(display_timezone=zone)
    pages = [
        *("/", "/?span=week&refresh=on", "/events", "/dead-letters", "/causes"),
        *("/dead-letters?resolution=any", "/dead-letters?resolution=discarded"),
        *(f"/orders/{order}" for order in (ORDER, HOSTILE, LARGE)),
        f"/orders/{ORDER}?outcome=stale",
        *(f"/dead-letters/{n}" for (n,) in connection.execute(LETTERS)),
        *("/events?outcome=stale&order_id=7", "/events?record=x&since=soon", "/none", "/orders/9"),
        *("/orders?order_id=x", "/dead-letters/99", "/dead-letters?reason=x&order_id=x"),
        *("/dead-letters?until=10:00+IST", "/?span=x", "/time-zone?name=x", "/language?name=x"),
        *("/events?before=x", "/events?ordered_by=7&event_id=x", "/dead-letters?text=x"),
    ]  # fmt: skip
    found = {path: client.get(path).text for path in pages}
    assert all('<html lang="ko">' in page for page in found.values())
    assert {path: english(page) for path, page in found.items() if english(page)} == {}


def test_what_operators_see_is_korean_too(
    database_url: str, operator_url: str, connection: Connection
) -> None:
    fill(connection)
    settings: dict[str, Any] = {
        "web_login": "proxy",
        "web_trusted_proxies": "127.0.0.1",
        "web_operators": "김",
        "web_personal_data_readers": "김",
        "web_operator_database_url": operator_url,
    }
    with (
        served(database_url, **settings) as address,
        Client(base_url=address, headers=KOREAN | {"X-Forwarded-User": "김".encode()}) as client,
    ):
        paths = ["/", "/dead-letters", "/causes", "/dead-letters/1", "/actions", "/actions/9"]
        asked = "/dead-letters/resolve"
        for path in (*paths, asked, f"{asked}?id=1", f"{asked}?reason=tombstone", f"{asked}?id=99"):
            assert english(client.get(path).text) == set(), path
        shown = client.get(asked).text
        form = {
            name: html.unescape(value)
            for name, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', shown)
        }
        assert english(client.post(asked, data=form).text) == set()
        done = client.post(asked, data=form | {"action": "discard", "note": "시험"})
        assert english(client.get(done.headers["location"]).text) == set()
        assert english(client.get("/actions").text) == set()
        refused = client.post(asked, data=form | {"token": "x"})
        assert (refused.status_code, english(refused.text)) == (400, set())


def test_the_browser_s_language_is_taken_and_a_choice_stays(
    make_client: MakeClient, connection: Connection
) -> None:
    fill(connection)
    client = make_client()
    assert "주문은 어떻게 처리되었습니까?" in client.get("/").text
    for header in ("en-US,en;q=0.9,ko;q=0.1", "fr", "", "*", "ko;q=0", "x" * 9000, ";;;=,"):
        page = client.get("/", headers={"Accept-Language": header}).text
        assert "What became of an order?" in page
    assert '<html lang="ko">' in client.get("/", headers={"Accept-Language": "fr, ko;q=0.1"}).text
    page = client.get("/events?outcome=stale").text
    (back,) = set(re.findall(r'name="back" value="([^"]*)"', page))
    chosen = client.get("/language", params={"name": "en", "back": html.unescape(back)})
    assert (chosen.status_code, chosen.headers["location"]) == (303, "/events?outcome=stale")
    assert "Filters (in use)" in client.get(chosen.headers["location"]).text
    assert client.get("/language?name=ko&back=//evil.example").headers["location"] == "/"
    client.cookies.set("delivery_language", "../en")
    assert '<html lang="ko">' in client.get("/").text, "what is no language keeps nobody out"


def test_filters_mean_the_same_in_both_languages_and_the_api_stays_english(
    make_client: MakeClient, connection: Connection
) -> None:
    fill(connection)
    client = make_client()
    english_one = {"Accept-Language": "en"}
    for path in ("/events?outcome=created&since=2h", "/dead-letters?reason=tombstone"):
        places = [
            re.findall(r'class="place" href="([^"]*)"', client.get(path, headers=headers).text)
            for headers in (KOREAN, english_one)
        ]
        assert places[0] == places[1]
        assert places[0]
    for path in ("/api/v1/events", "/api/v1/orders/1001"):
        korean, other = client.get(path), client.get(path, headers=english_one)
        assert without_ages(korean.text) == without_ages(other.text)
