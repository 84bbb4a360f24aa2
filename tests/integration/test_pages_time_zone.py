"""The zone in which pages show and read times: the setting's, or the visitor's own."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from httpx import Client
from served import served

from delivery.postgres.database import Connection

SEOUL = ZoneInfo("Asia/Seoul")

EVENT = """
INSERT INTO processed_events (order_id, event_time, outcome, payload, record_topic,
                              record_partition, record_offset, consumed_at)
VALUES (%(n)s, %(at)s, 'created', '{}', 'orders', 0, %(n)s, %(at)s)
"""
LETTER = """
INSERT INTO dead_letters (record_topic, record_partition, record_offset, record_headers, reason,
                          error, consumed_at)
VALUES ('orders', 0, 99, '[]', 'not_json', 'no', now() - interval '3 h 5 min')
"""

MakeVisitor = Callable[..., Client]


@pytest.fixture
def visitor(database_url: str) -> Iterator[MakeVisitor]:
    """Makes somebody with a browser, who keeps cookies and follows redirections."""
    with ExitStack() as running:

        @contextmanager
        def visiting(**settings: Any) -> Iterator[Client]:
            with (
                served(database_url, **settings) as address,
                Client(base_url=address, timeout=20, follow_redirects=True) as client,
            ):
                yield client

        yield lambda **settings: running.enter_context(visiting(**settings))


@pytest.fixture
def log(connection: Connection) -> Connection:
    """Two events of November 2026, and a dead letter of three hours ago."""
    for n, at in ((1, "2026-11-23T00:30Z"), (2, "2026-11-23T16:30:00.123456Z")):
        connection.execute(EVENT, {"n": n, "at": at})
    connection.execute(LETTER)
    return connection


def offsets(page: str) -> set[int]:
    return {int(n) for n in re.findall(r">orders/0/(\d+)<", page)}


def test_without_a_setting_or_a_choice_times_are_utc(log: Connection, visitor: MakeVisitor) -> None:
    page = visitor().get("/events").text
    assert "All times are UTC (" in page
    assert ">2026-11-23 16:30:00.123</time>" in page


def test_the_setting_is_the_zone_of_whoever_chose_none(
    log: Connection, visitor: MakeVisitor
) -> None:
    someone = visitor(display_timezone=SEOUL)
    for path in ("/", "/events", "/orders/2", "/dead-letters", "/dead-letters/1"):
        assert "All times are Asia/Seoul, +09:00 (" in someone.get(path).text
    page = someone.get("/events").text
    assert '<time datetime="2026-11-23T16:30:00.123456Z"' in page
    assert ">2026-11-24 01:30:00.123</time>" in page
    assert ">2026-11-24 01:30:00.123456</time>" in page  # the event time


@pytest.mark.parametrize(
    ("since", "until", "found"),
    [
        ("2026-11-24", "", {2, 99}),  # begins in Seoul
        ("2026-11-23 09:30", "2026-11-24 01:30", {1}),
        ("2026-11-23 00:30 UTC", "2026-11-23 09:31", {1}),
        ("today", "today", set()),
    ],
)
def test_a_filter_is_read_in_the_zone_that_the_page_shows(
    log: Connection, visitor: MakeVisitor, since: str, until: str, found: set[int]
) -> None:
    someone = visitor(display_timezone=SEOUL)
    page = someone.get("/events", params={"since": since, "until": until})
    assert (page.status_code, offsets(page.text)) == (200, found)


def test_a_time_that_may_mean_several_is_refused_at_its_field(
    log: Connection, visitor: MakeVisitor
) -> None:
    page = visitor().get("/events", params={"since": "2026-11-23 10:00 CST"})
    assert page.status_code == 422
    assert "CST means several zones: write the offset instead, " in page.text


def test_a_visitor_chooses_a_zone_and_comes_back_to_the_page_with_its_filters(
    log: Connection, visitor: MakeVisitor
) -> None:
    someone = visitor(display_timezone=ZoneInfo("Europe/Berlin"))
    before = someone.get("/events?since=2026-11-23&order_id=2").text
    assert 'name="back" value="/events?since=2026-11-23&amp;order_id=2"' in before
    back = "/events?since=2026-11-23&order_id=2"
    after = someone.get("/time-zone", params={"name": "KST", "back": back})
    assert str(after.url).endswith(back)
    assert re.search(r"All times are (Asia/Seoul, |UTC)\+09:00", after.text)
    assert ">2026-11-24 01:30:00.123</time>" in after.text
    (cookie,) = someone.cookies.jar
    assert cookie.name == "delivery_zone"
    assert cookie.has_nonstandard_attr("HttpOnly")
    default = someone.get("/time-zone", params={"name": "", "back": "/"})
    assert "All times are Europe/Berlin, " in default.text


@pytest.mark.parametrize("zone", ["Asia/Seoul", "KST", "UTC", "America/New_York"])
def test_what_was_chosen_stays(log: Connection, visitor: MakeVisitor, zone: str) -> None:
    someone = visitor()
    chosen = someone.get("/time-zone", params={"name": zone, "back": "/events"}).text
    told = re.search(r"All times are [^(]*", chosen)
    assert told
    assert told[0] in someone.get("/events").text
    assert (zone in told[0]) or zone == "KST"


@pytest.mark.parametrize("zone", ["Mars", "CST", "../../etc/passwd", "x" * 5000, "\x00"])
def test_what_is_no_zone_is_told_and_keeps_nobody_out_as_a_cookie(
    log: Connection, visitor: MakeVisitor, zone: str
) -> None:
    someone = visitor()
    page = someone.get("/time-zone", params={"name": zone})
    assert page.status_code == 422
    assert "such as Asia/Seoul" in page.text
    assert not someone.cookies
    if zone.isprintable() and len(zone) < 100:
        someone.cookies.set("delivery_zone", zone)
        assert "All times are UTC (" in someone.get("/events").text


@pytest.mark.parametrize("back", ["https://example.com/", "//example.com", "/\\example.com", ""])
def test_it_leads_to_no_page_of_somebody_else_s(visitor: MakeVisitor, back: str) -> None:
    answer = visitor().get(
        "/time-zone", params={"name": "UTC", "back": back}, follow_redirects=False
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_an_arrival_has_its_age_beside_it(log: Connection, visitor: MakeVisitor) -> None:
    someone = visitor()
    for path in ("/dead-letters", "/dead-letters/1"):
        assert '</time> <span class="age">3 h 5 min ago</span>' in someone.get(path).text


def test_the_chart_s_clock_is_the_visitor_s(log: Connection, visitor: MakeVisitor) -> None:
    def clocks(**settings: Any) -> list[str]:
        page = visitor(**settings).get("/?span=day").text
        return re.findall(r"<title>(?:\w+ \d+, )?(\d\d:\d\d)", page)

    kathmandu = clocks(display_timezone=ZoneInfo("Asia/Kathmandu"))  # +05:45
    assert all(clock[3:] in {"00", "15", "30", "45"} for clock in kathmandu)
    assert kathmandu != clocks()


def test_the_api_reads_words_and_zones_and_stays_in_utc(
    log: Connection, visitor: MakeVisitor
) -> None:
    someone = visitor(display_timezone=SEOUL)

    def found(since: str, until: str) -> set[int]:
        answer = someone.get("/api/events", params={"since": since, "until": until})
        assert answer.status_code == 200, answer.text
        assert all(e["consumed_at"].endswith(("Z", "+00:00")) for e in answer.json()["events"])
        return {event["record_offset"] for event in answer.json()["events"]}

    assert found("2026-11-23 09:30 KST", "2026-11-24 01:30 KST") == {1}
    assert found("2026-11-23 16:30", "2026-11-23 16:31") == {2}
    assert found("yesterday", "today 00:00:00") <= {99}
    assert found("4 hours ago", "15min") == {99}
