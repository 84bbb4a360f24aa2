"""The pages on real rows: what they tell, what they hide, what they answer to bad input."""

import html
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote

import every_outcome
import pytest
from every_outcome import DEEP, HOSTILE, LARGE, ORDER, PERSONAL
from httpx import Client, Response
from records import at, batch, record
from served import served

from delivery.broker.group import Group, Member
from delivery.broker.lag import Behind
from delivery.domain.event import Contract
from delivery.domain.vocabulary import OUTCOMES, REASONS
from delivery.inbox import transaction
from delivery.postgres.database import Connection
from delivery.web.lag import Earlier, Lag, LagStatus
from delivery.web.pages import order
from delivery.web.pages.routes import ON_ONE_PAGE

Visit = Callable[..., Response]

EVERY_PAGE = ["/", "/?span=week", "/events", "/dead-letters", "/dead-letters/1",
              *(f"/orders/{n}" for n in (ORDER, HOSTILE, LARGE, DEEP))]  # fmt: skip


@pytest.fixture
def make_visit(database_url: str) -> Iterator[Callable[..., Visit]]:
    """Makes a visitor of a service with these settings. It does not follow a redirection."""
    with ExitStack() as running:

        def make(url: str = database_url, **settings: Any) -> Visit:
            address = running.enter_context(served(url, **settings))
            return running.enter_context(Client(base_url=address, timeout=20)).get

        yield make


@pytest.fixture
def visit(make_visit: Callable[..., Visit]) -> Visit:
    """A visitor of a service as it is without settings."""
    return make_visit()


@pytest.fixture
def log(connection: Connection) -> Connection:
    """A row of each outcome."""
    every_outcome.fill(connection)
    return connection


LETTER = """
INSERT INTO dead_letters (record_topic, record_partition, record_offset, record_headers, reason,
                          error, record_key, record_value)
VALUES ('orders', 0, %s, '[{"key": "a", "value": "Mrs. Kim"}, {"key": "b", "value_hex": "ff"}]',
        %s, 'why', %s, %s)
"""


def text(page: Response) -> str:
    """The page as it is read: without markup, spaces as one."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page.text)).split())


def links(page: Response, path: str) -> list[str]:
    return [a for a in map(html.unescape, re.findall(r'href="([^"]*)"', page.text)) if path in a]


def letters(page: Response) -> list[str]:
    """The dead letters to which it leads, without the filters that stay with them."""
    return [address.partition("?")[0] for address in links(page, "/dead-letters/")]


def outcomes(page: Response) -> list[str]:
    """The outcomes of the table's rows."""
    body = page.text.partition("<tbody")[2]  # nothing where there is no table
    return re.findall(r'<span class="badge (\w+)">', body)


@pytest.mark.usefixtures("log")
def test_every_page_is_whole_html_that_needs_no_script_and_no_style_of_its_own(
    visit: Visit,
) -> None:
    for page in map(visit, EVERY_PAGE):
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert page.text.startswith('<!doctype html>\n<html lang="en">')
        assert page.text.endswith("</html>")
        assert not re.search(r'<script|<style|\sstyle=|<[^>]*\son\w+="', page.text)
        assert page.text.count("<h1>") == 1
        assert page.text.count("All times are UTC") == 1


def test_an_empty_log_has_pages_that_say_so(visit: Visit) -> None:
    for path in ("/", "/?span=day", "/events", "/dead-letters"):
        page = visit(path)
        assert page.status_code == 200
        says = r"Being counted|No record arrived|The log is empty|None is open"
        assert re.search(says, text(page))


def test_an_order_is_found_by_its_id(visit: Visit) -> None:
    found = visit("/orders", params={"order_id": f" {ORDER} "})
    assert (found.status_code, found.headers["location"]) == (303, f"/orders/{ORDER}")


@pytest.mark.parametrize("path", ["/orders?order_id={}", "/orders/{}"])
def test_what_is_no_order_id_is_reported_at_the_field(visit: Visit, path: str) -> None:
    for given in ("x", "0", "-1", "1.0", "1e3", "٣", "9223372036854775808", "1 2", "<b>", "'", "\0",
                  "9" * 5000):  # fmt: skip
        page = visit(path.format(quote(given)))
        assert page.status_code == 422
        assert 'aria-invalid="true" aria-describedby="order_id-error order_id-hint"' in page.text
        assert 'id="order_id-error"' in page.text
        assert "whole number" in text(page)
        assert "<b>" not in page.text


def test_an_unknown_order_is_a_page_that_helps(visit: Visit) -> None:
    page = visit("/orders/99")
    assert page.status_code == 404
    assert "Order 99 is unknown" in text(page)
    assert 'value="99"' in page.text


@pytest.mark.usefixtures("log")
def test_a_timeline_tells_each_record_and_what_it_changed(visit: Visit) -> None:
    page = visit(f"/orders/{ORDER}")
    told = text(page)
    assert re.findall(r'<h3[^>]*><span class="badge (\w+)"', page.text) == [
        "too_late", "rejected", "conflict", "duplicate", "stale", "updated", "created"
    ]  # fmt: skip
    assert "Status dispatched" in told
    assert "The delivery began with Field Value product id 7 quantity 2" in told
    assert "Changed in the delivery Field Before After quantity 2 3" in told
    assert "delivery limited at none 2026-11-04 09:30:00 as sent, without offset" in told
    assert told.count("nothing changed") == 5
    assert "/events?record=orders%2F0%2F3" in links(page, "record=")
    assert '<time datetime="2026-11-01T01:05:00Z"' in page.text
    assert re.search(r"Event time 2026-11-01 01:05:00 arrived [\d,]+ d \d+ h later", told)
    assert '"deliveryLimitedAt": [2026, 11, 4, 9, 30]' in told


@pytest.mark.usefixtures("log")
def test_personal_data_is_masked_unless_the_setting_shows_it(
    make_visit: Callable[..., Visit],
) -> None:
    secrets = ("Mrs. Kim", "4711", "Ring twice", '"orderedBy": 31', "is not JSON")
    visit_masked, visit_shown = make_visit(), make_visit(web_show_personal_data=True)
    for path in EVERY_PAGE:
        masked = text(visit_masked(path))
        assert [secret for secret in secrets if secret in masked] == []
        assert "DELIVERY_WEB_SHOW_PERSONAL_DATA" in masked
        assert "masked" not in text(visit_shown(path))
    shown = text(visit_shown(f"/orders/{ORDER}")) + text(visit_shown("/dead-letters/2"))
    assert [secret for secret in secrets if secret not in shown] == []


def test_dead_letters_are_found_by_time_order_topic_and_error(
    log: Connection, visit: Visit
) -> None:
    log.execute(
        "UPDATE dead_letters SET consumed_at = '2026-01-01T00:00Z', order_id = 77, "
        "record_topic = 'others', error = 'row 3 field 14' WHERE dead_letter_id = 2"
    )
    for query in ("until=2026-01-02", "order_id=77", "topic=others", "error=row+N+field+N"):
        assert letters(visit(f"/dead-letters?{query}")) == ["/dead-letters/2"]
    assert "/dead-letters/2" not in links(visit("/dead-letters?since=1h"), "/dead-letters/")
    for query in ("since=soon", "order_id=x", "error=%00"):
        assert visit(f"/dead-letters?{query}").status_code == 422


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("shows", [False, True])
def test_hostile_texts_are_text(make_visit: Callable[..., Visit], shows: bool) -> None:
    visit = make_visit(web_show_personal_data=shows)
    for path in (f"/orders/{HOSTILE}", "/dead-letters/2", "/dead-letters/3"):
        page = visit(path)
        assert page.status_code == 200
        assert "<img" not in page.text
        assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b\x07]", page.text)
        if shows and path != "/dead-letters/3":
            assert ">U+202E</span>" in page.text
            assert "{{ 7 * 7 }}" in page.text
            assert "<script>document" in html.unescape(page.text)


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("shows", [False, True])
def test_a_payload_of_a_megabyte_or_150_levels_is_shown_and_cut(
    make_visit: Callable[..., Visit], shows: bool
) -> None:
    visit = make_visit(web_show_personal_data=shows)
    large, deep = visit(f"/orders/{LARGE}"), visit(f"/orders/{DEEP}")
    assert (large.status_code, deep.status_code) == (200, 200)
    assert max(len(large.text), len(deep.text)) < 60_000
    assert ("Only its beginning is shown" in text(large)) == shows
    assert ("the innermost" in text(deep)) == shows


def test_payloads_that_are_too_many_bytes_together_are_not_all_taken(
    connection: Connection, visit: Visit
) -> None:
    large = [every_outcome.event(1, at(n), quantity=n, text="x" * 900_000) for n in range(1, 9)]
    transaction.process(connection, Contract(), batch(*large))
    page = visit("/orders/1")
    assert text(page).count("What it changed can't be told here") == 5
    assert "quantity 7 8" in text(page)


def test_pages_and_answers_read_the_logs_and_not_the_view(log: Connection, visit: Visit) -> None:
    """Through the view, a distributed PostgreSQL reads the whole log for one order."""
    log.execute("DROP VIEW event_history")
    for path in (f"/orders/{ORDER}", "/events", f"/api/orders/{ORDER}", "/api/events"):
        assert visit(path).status_code == 200


def test_a_long_timeline_has_pages_and_changes_are_followed_over_their_edge(
    connection: Connection, visit: Visit
) -> None:
    number = order.ON_ONE_PAGE + 10
    contents = [every_outcome.event(1, at(n), quantity=n) for n in range(1, number + 1)]
    transaction.process(connection, Contract(), batch(*contents))
    newest = visit("/orders/1")
    assert "quantity 10 11" in text(newest)
    (older,) = set(links(newest, "before="))
    oldest = visit(older)
    assert oldest.text.count("<article") == 10
    assert "began with" in text(oldest)
    assert links(oldest, "before=") == []


def test_an_order_has_its_records_counted_by_outcome_and_shown_of_one_alone(
    connection: Connection, visit: Visit
) -> None:
    first = every_outcome.event(1, at(0), quantity=1)
    updates = [every_outcome.event(1, at(n), quantity=n) for n in (2, 3)]
    transaction.process(connection, Contract(), batch(first, first, *updates, first))
    page = visit("/orders/1")
    assert "All 5 + created 1 ↑ updated 2 = duplicate 2" in text(page)
    updated = visit(*links(page, "outcome=updated"))
    assert re.findall(r'<h3[^>]*><span class="badge (\w+)"', updated.text) == ["updated"] * 2
    assert "quantity 1 2" in text(updated)  # what came before an update is known still
    assert "quantity 2 3" in text(updated)
    nothing = visit("/orders/1?outcome=conflict")
    assert (nothing.status_code, "No record of this order matches" in text(nothing)) == (200, True)
    assert visit("/orders/1?outcome=x").status_code == 422


FILTERED = {
    "outcome=stale": ["stale"],
    "outcome=stale&outcome=too_late": ["too_late", "stale"],
    f"order_id={ORDER}&outcome=rejected": ["rejected"],
    "record=orders/0/3": ["duplicate"],
    "record=orders/0/77": [],
    "since=1h&outcome=conflict": ["conflict"],
    "until=1h": [],
    "since=&until=&order_id=&record=&outcome=conflict": ["conflict"],
    "until=2026-01-01T00:00": [],
}


@pytest.mark.usefixtures("log")
def test_activity_is_filtered_by_its_address(visit: Visit) -> None:
    for query, expected in FILTERED.items():
        page = visit(f"/events?{query}")
        assert page.status_code == 200
        assert outcomes(page) == expected
        assert ("No record matches" in text(page)) == (not expected)
        for name, value in parse_qsl(query):
            checked = " checked" if name == "outcome" else ""
            assert f'value="{value}"{checked}' in page.text


def test_a_wrong_filter_is_reported_at_its_field(visit: Visit) -> None:
    for query in ("since=x", "until=99999999999d", "order_id=abc", "record=a", "record=a/1/2/3",
                  "outcome=all", "since=%00", "before=x", "order_id=<b>", "since=10000-01-01",
                  f"record=a/{2**31}/0"):  # fmt: skip
        page = visit(f"/events?{query}")
        assert page.status_code == 422
        assert f'id="{query.partition("=")[0]}-error"' in page.text
        assert "<b>" not in page.text


def test_other_bad_input_is_a_422_page(visit: Visit) -> None:
    for path in ("/dead-letters?reason=x", "/dead-letters?resolution=x", "/dead-letters?before=x",
                 "/dead-letters/x", "/dead-letters/0", "/?span=x", "/orders/1?before=x",
                 "/orders/1?before=2026-11-01T00:00:00/a/0/0%00"):  # fmt: skip
        page = visit(path)
        assert page.status_code == 422
        assert page.text.startswith("<!doctype html>")


def test_older_records_come_page_by_page_each_once_while_others_arrive(
    connection: Connection, visit: Visit
) -> None:
    number = 2 * ON_ONE_PAGE + 7
    first = [every_outcome.event(n, at(0)) for n in range(1, number + 1)]
    transaction.process(connection, Contract(), batch(*first))
    page = visit("/events?outcome=created&outcome=rejected")
    seen = links(page, "/orders/")
    transaction.process(
        connection, Contract(), batch(every_outcome.event(number + 1, at(0)), first=1000)
    )
    while older := links(page, "before="):
        page = visit(older[0])
        seen += links(page, "/orders/")
    assert seen == [f"/orders/{n}" for n in range(number, 0, -1)]


def test_dead_letters_come_page_by_page_and_by_reason(connection: Connection, visit: Visit) -> None:
    number = ON_ONE_PAGE + 3
    transaction.process(connection, Contract(), batch(*[b"{"] * number, None))
    page = visit("/dead-letters?reason=not_json")
    (older,) = links(page, "before=")
    seen = letters(page) + letters(visit(older))
    assert seen == [f"/dead-letters/{n}" for n in range(number, 0, -1)]
    assert letters(visit("/dead-letters?reason=tombstone")) == [f"/dead-letters/{number + 1}"]


def test_resolved_letters_are_shown_where_they_are_asked_for(log: Connection, visit: Visit) -> None:
    log.execute(
        "UPDATE dead_letters SET resolved_at = now(), resolution = 'discarded',"
        " resolution_note = 'Mrs. Kim called' WHERE dead_letter_id = 1"
    )
    assert "/dead-letters/1" not in links(visit("/dead-letters"), "/dead-letters/")
    for asked in ("discarded", "any"):
        page = visit(f"/dead-letters?resolution={asked}")
        assert "/dead-letters/1" in letters(page)
    page = visit("/dead-letters/1")
    assert "discarded" in text(page)
    assert "Mrs. Kim" not in text(page)
    assert "delivery dead-letters replay" not in text(page)


def test_a_letter_names_the_command_that_repairs_it(connection: Connection, visit: Visit) -> None:
    for number, reason in enumerate(REASONS, 1):
        values = (number, reason, PERSONAL.encode(), PERSONAL.encode())
        connection.execute(LETTER, values)
        told = text(visit(f"/dead-letters/{number}"))
        assert f"delivery dead-letters replay {number}" in told
        assert f'delivery dead-letters discard {number} --note "WHY"' in told
        assert "Mrs. Kim" not in told


def test_a_letter_that_does_not_exist_is_not_found(visit: Visit) -> None:
    assert visit("/dead-letters/77").status_code == 404


def test_a_letter_leads_to_its_neighbours_of_the_same_filters_and_to_those_like_it(
    connection: Connection, visit: Visit
) -> None:
    wrong = [b'{"event": {"orderId": %d}}' % n for n in range(1, 4)]
    transaction.process(connection, Contract(), batch(wrong[0], b"{", *wrong[1:], None))
    listed = "/dead-letters?reason=missing_field&resolution=any"
    (found,) = links(visit(listed), "/dead-letters/3")
    page = visit(found)
    narrow = "?reason=missing_field&resolution=any"
    around = {a for a in links(page, "/dead-letters") if a.endswith(narrow)}
    assert around == {listed, f"/dead-letters/4{narrow}", f"/dead-letters/1{narrow}"}
    assert {"/dead-letters/2", "/dead-letters/4"} <= set(links(visit("/dead-letters/3"), "/dead"))
    (alike,) = links(page, "error=")
    assert "2 others like this" in text(page)
    assert letters(visit(alike)) == [f"/dead-letters/{n}" for n in (4, 3, 1)]
    assert "like this" not in text(visit("/dead-letters/5"))


def test_without_its_tables_the_pages_say_what_to_do(
    make_visit: Callable[..., Visit], empty_database_url: str
) -> None:
    for path in ("/", "/events", "/dead-letters"):
        page = make_visit(empty_database_url)(path)
        assert page.status_code == 503
        assert "run delivery migrate" in text(page).replace("`", "")


def test_the_overview_says_that_its_schema_is_of_another_version(
    connection: Connection, visit: Visit
) -> None:
    connection.execute("UPDATE alembic_version SET version_num = '0001'")
    assert "The database's schema is at revision 0001" in text(visit("/"))


@pytest.mark.usefixtures("log")
def test_the_overview_counts_what_came_and_what_is_open(visit: Visit) -> None:
    told = read_until(visit, "Records in the last hour 14")
    page = visit("/").text
    assert "Open dead letters 4" in told
    assert "dispatched 1" in told
    for outcome in OUTCOMES:
        assert re.search(rf"{outcome.replace('_', ' ')} \d", told)
    assert re.search(r'role="img" aria-label="Records a minute in the last hour: 14 in all', page)
    assert "is not set" in told  # no Kafka, no lag


def test_the_overview_tells_how_far_each_partition_is_behind(
    visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    long_ago = datetime.now(UTC) - timedelta(minutes=47)
    partitions = [
        Behind("orders", 0, 10, 1210, 1200, long_ago),
        Behind("orders", 1, None, 34, 34, datetime.now(UTC)),
        Behind("orders", 2, 7, 7, 0),
    ]
    member = Member("delivery-1", "10.0.0.1", (("orders", 0), ("orders", 1), ("orders", 2)))
    group = Group("g", "Stable", (member,))
    earlier = Earlier(34, timedelta(minutes=1))
    monkeypatch.setattr(Lag, "latest", lambda _: LagStatus(partitions, None, group, earlier))
    told = text(visit("/"))
    assert "Records behind the topic's end 1,234" in told
    assert "orders/0 late 1,200 47 min orders/1 catching up 34 0 s orders/2 up to date 0" in told
    assert "Behind in all: 1,200 more than 1 min ago." in told
    assert "delivery-1 at 10.0.0.1 reads orders/0, orders/1, orders/2" in told


def test_the_overview_says_in_words_that_nobody_consumes(
    visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    partitions = [Behind("orders", 0, 10, 3010, 3000)]
    found = LagStatus(partitions, None, Group("g", "Empty", ()))
    monkeypatch.setattr(Lag, "latest", lambda _: found)
    told = text(visit("/"))
    assert "Something is wrong Nobody consumes: no member in group g, 3,000 records wait." in told
    assert "orders/0 no reader 3,000" in told


def test_the_overview_refreshes_itself_where_it_is_asked_to_and_keeps_the_span(
    visit: Visit,
) -> None:
    assert "refresh" not in visit("/?span=day").headers
    page = visit("/?span=day&refresh=on")
    assert page.headers["refresh"] == "5"
    assert {"/?span=day", "/?span=week&refresh=on"} <= set(links(page, "/?"))


def read_until(visit: Visit, expected: str, seconds: float = 20) -> str:
    """What is counted beside the requests is told some seconds later."""
    deadline = datetime.now(UTC) + timedelta(seconds=seconds)
    while expected not in (told := text(visit("/"))) or "Counted at" not in told:
        assert datetime.now(UTC) < deadline, told
    return told


def test_what_is_not_there_is_a_page_for_people_and_a_problem_for_programs(visit: Visit) -> None:
    page = visit("/nothing/<b>")
    assert page.status_code == 404
    assert page.headers["content-type"].startswith("text/html")
    assert "<b>" not in page.text
    assert visit("/api/nothing").headers["content-type"].startswith("application/problem+json")


def test_a_database_that_is_away_is_reported_with_when_to_try_again(
    make_visit: Callable[..., Visit],
) -> None:
    page = make_visit("postgresql://nobody@127.0.0.1:1/none")("/events")
    assert page.status_code == 503
    assert "works again as soon as it does" in text(page)
    assert int(page.headers["retry-after"]) > 0


def test_a_bug_is_a_page_without_its_inside(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("delivery.dead_letters.queries.find", None)
    page = visit("/dead-letters/1")
    assert page.status_code == 500
    assert page.headers["content-type"].startswith("text/html")
    assert "NoneType" not in page.text


def test_a_year_that_no_clock_shows_is_no_bug(connection: Connection, visit: Visit) -> None:
    first = b'{"event": {"orderId": 1}, "createdAt": "0001-01-01T00:00:00Z"}'
    transaction.process(connection, Contract(), [record(0, first)])
    page = visit("/orders/1")
    assert page.status_code == 200
    assert '<time datetime="0001-01-01T00:00:00Z"' in page.text


def test_coordinates_lead_to_the_record_in_somebodys_kafka_ui(
    make_visit: Callable[..., Visit], log: Connection
) -> None:
    template = "https://ui.example/{topic}?p={partition}&s={offset}"
    visit = make_visit(web_kafka_ui_url=template)
    rows = log.execute(
        "SELECT record_topic, record_partition, record_offset FROM event_history"
    ).fetchall()
    addresses = {f"https://ui.example/{quote(t, safe='')}?p={p}&s={o}" for t, p, o in rows}
    for page in ("/events", f"/orders/{ORDER}", "/dead-letters", "/dead-letters/1"):
        links = re.findall(r'class="in-kafka" href="([^"]+)"', visit(page).text)
        assert links, page
        assert {html.unescape(link) for link in links} <= addresses


def test_without_one_set_coordinates_lead_nowhere_else(visit: Visit, log: Connection) -> None:
    assert all("in-kafka" not in visit(page).text for page in EVERY_PAGE)
