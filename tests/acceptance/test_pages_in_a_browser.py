"""The pages in a real browser: at a phone's width and at a desk's, light and dark, by keyboard."""

import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import every_outcome
import psycopg
import pytest
from axe_playwright_python.sync_playwright import Axe
from every_outcome import DEEP, HOSTILE, LARGE, ORDER
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright
from pydantic import SecretStr
from served import served

from delivery.broker.group import Group, Member
from delivery.broker.lag import Behind
from delivery.embedded.postgres import PostgresServer
from delivery.postgres import database
from delivery.web.lag import Earlier, Lag, LagStatus

BROWSERS = ("chromium", "chromium-browser", "google-chrome")

PHONE, DESK = 390, 1280
SCHEMES: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")

PAGES = ("/", "/events", f"/orders/{ORDER}", f"/orders/{HOSTILE}", f"/orders/{LARGE}",
         f"/orders/{DEEP}", "/dead-letters", "/dead-letters/2", "/dead-letters/3")  # fmt: skip
ERRORS = ("/orders/99", "/orders?order_id=x", "/events?since=x&order_id=y", "/nothing")
EMPTY = ("/events?order_id=99", "/dead-letters?reason=future_event_time")

TOO_WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
TABLE_TOO_WIDE = """() => [...document.querySelectorAll('main table')]
    .some(table => table.offsetWidth > table.parentElement.clientWidth)"""
# Two pages read one after the other may differ in them.
WITHOUT_AGES = "() => document.querySelectorAll('.age').forEach(age => age.remove())"
UNFOLD = "() => document.querySelectorAll('details').forEach(part => part.open = true)"

# Ids, coordinates, badges and times in tables that stand on more than one line.
BROKEN = """() => [...document.querySelectorAll('td :is(.number, .place, .badge, time)')]
    .filter(part => {
        const text = document.createRange()
        text.selectNodeContents(part)
        const tops = [...text.getClientRects()].filter(box => box.width).map(box => box.bottom)
        return Math.max(...tops) - Math.min(...tops) > 8
    })
    .map(part => part.innerText)"""

# As long as they become: a topic, offsets and ids, and an error without a space.
LENGTHEN = """() => {
    const set = (which, text) =>
        document.querySelectorAll(which).forEach(part => part.textContent = text)
    set('td .place', 'OrderCreateEvent/11/123456789')
    set('td a.number', '12345678')
    set('td[data-label=Order] a.number', '1234567890123456')
    document.querySelectorAll('.told').forEach(part => part.append('x'.repeat(300)))
}"""

NewPage = Callable[..., Page]


@pytest.fixture(scope="module")
def address(postgres_server: PostgresServer, migrated_template: str) -> Iterator[str]:
    """A service on a row of each outcome, that masks nothing: hostile texts stand on its pages."""
    name = "browsed"
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {migrated_template}")
        url = f"{postgres_server.url.rpartition('/')[0]}/{name}"
        with database.connect(SecretStr(url), "test") as writing:
            every_outcome.fill(writing)
        with served(url, web_show_personal_data=True) as address:
            yield address
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"THE PAGES ARE NOT TESTED IN A BROWSER: install one of {', '.join(BROWSERS)}")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def new_page(browser: Browser, address: str) -> Iterator[NewPage]:
    """Opens a page of a window of its own. At the end no window may have said anything."""
    said: list[str] = []
    windows = []

    def new(width: int, **options: Any) -> Page:
        viewport: ViewportSize = {"width": width, "height": 800}
        window = browser.new_context(base_url=address, viewport=viewport, **options)
        windows.append(window)
        page = window.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        return page

    yield new
    for window in windows:
        window.close()
    assert [text for text in said if not text.startswith("Failed to load resource")] == []


@pytest.fixture
def rules() -> Axe:
    """The rules of accessibility."""
    return Axe()


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_every_page_fits_and_runs_nothing(new_page: NewPage, width: int) -> None:
    page = new_page(width)
    for path in PAGES + ERRORS + EMPTY:
        page.goto(path)
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            page.evaluate(UNFOLD)
            assert not page.evaluate(TOO_WIDE), (path, scheme)
        assert page.title().endswith(" · delivery")
        assert page.locator("main img, main script, main iframe").count() == 0


@pytest.mark.parametrize("width", [PHONE, 800, 1100, DESK])
def test_no_id_time_or_badge_of_a_table_is_broken_by_a_long_error(
    new_page: NewPage, width: int
) -> None:
    page = new_page(width)
    for path in ("/events", "/dead-letters?resolution=any"):
        page.goto(path)
        page.evaluate(LENGTHEN)
        assert page.evaluate(BROKEN) == [], path
        assert not page.evaluate(TOO_WIDE), path


def test_every_page_is_accessible_on_a_phone_in_the_light_and_at_a_dark_desk(
    new_page: NewPage, rules: Axe
) -> None:
    page = new_page(PHONE)
    for path in PAGES[:4] + PAGES[6:8] + ERRORS[1:] + EMPTY[:1]:
        page.goto(path)
        page.evaluate(UNFOLD)
        for width, scheme in (PHONE, SCHEMES[0]), (DESK, SCHEMES[1]):
            page.set_viewport_size({"width": width, "height": 800})
            page.emulate_media(color_scheme=scheme)
            assert serious(rules, page) == [], (path, width)


def serious(rules: Axe, page: Page) -> list[str]:
    """What the rules find serious or critical, in words."""
    found = rules.run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{rule['id']}: {node['html']}"
        for rule in found
        if rule["impact"] in {"serious", "critical"}
        for node in rule["nodes"]
    ]


def test_the_partitions_of_the_overview_fit_a_phone_and_are_accessible(
    new_page: NewPage, rules: Axe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their state is seen without scrolling, however long a topic's name is."""
    topic = "a-team-of-ours.OrderCreateEvent.v1"
    waits = datetime.now(UTC) - timedelta(hours=30)
    partitions = [Behind(topic, n, 7, 7 + n, n * 1_234_567, waits) for n in range(3)]
    member = Member("delivery-1-with-a-long-name", "10.0.0.1", ((topic, 0), (topic, 1)))
    status = LagStatus(partitions, None, Group("g", "Stable", (member,)),
                       Earlier(34, timedelta(minutes=1)))  # fmt: skip
    monkeypatch.setattr(Lag, "latest", lambda _: status)
    page = new_page(PHONE)
    for width, scheme in (PHONE, "light"), (PHONE, "dark"), (DESK, "dark"):
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=scheme)
        page.goto("/")
        assert page.locator("table.lag .badge").count() == 3
        assert not page.evaluate(TABLE_TOO_WIDE)
        assert not page.evaluate(TOO_WIDE)
        assert serious(rules, page) == [], (width, scheme)


def test_on_a_phone_the_filters_are_folded_and_the_rows_are_on_the_first_screen(
    new_page: NewPage,
) -> None:
    page = new_page(PHONE)
    for path in ("/events", "/dead-letters?resolution=any"):
        page.goto(path)
        expect(page.get_by_role("cell").first).to_be_in_viewport()
        page.set_viewport_size({"width": DESK, "height": 800})
        expect(page.get_by_role("button", name="Show")).to_be_visible()
        page.set_viewport_size({"width": PHONE, "height": 800})


def test_the_rules_find_what_is_wrong(new_page: NewPage, rules: Axe) -> None:
    page = new_page(DESK)
    page.goto("/")
    page.evaluate("document.querySelector('label').remove()")
    page.evaluate("document.querySelector('h1').style.color = '#ddd'")
    named = {text.partition(":")[0] for text in serious(rules, page)}
    assert {"label", "color-contrast"} <= named


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_an_order_is_found_and_its_payload_read_by_keyboard_alone(
    new_page: NewPage, width: int
) -> None:
    page = new_page(width)
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Order id")).to_be_focused()
    page.keyboard.type(str(ORDER))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=f"Order {ORDER}")).to_be_visible()
    expect(page.get_by_role("article")).to_have_count(7)
    payload = page.get_by_role("region", name="Payload of record 100, partition 0")
    expect(payload).to_be_hidden()
    press_tab_until_focused(page, "summary")
    page.keyboard.press("Enter")
    expect(payload).to_contain_text('"orderId": 1001')
    page.keyboard.press("Tab")
    expect(payload).to_be_focused()


def press_tab_until_focused(page: Page, selector: str) -> None:
    """At most so many times as there may be links before it."""
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} is not reached")


def test_what_has_the_focus_is_seen(new_page: NewPage) -> None:
    page = new_page(DESK)
    page.goto("/events")
    for _ in range(20):
        page.keyboard.press("Tab")
        outline = "getComputedStyle(document.activeElement).outlineWidth"
        assert page.evaluate(outline) == "3px"


def test_without_scripts_the_pages_are_the_same(new_page: NewPage) -> None:
    with_scripts, without = new_page(DESK), new_page(DESK, java_script_enabled=False)
    for path in (f"/orders/{ORDER}", "/events", "/dead-letters/2"):
        for page in (with_scripts, without):
            page.goto(path)
            page.evaluate(WITHOUT_AGES)
        read = without.locator("body").inner_text()
        assert "HTTP API" in read
        assert read == with_scripts.locator("body").inner_text()


def test_the_filters_of_the_activity_lead_to_a_letter_and_to_its_record(new_page: NewPage) -> None:
    page = new_page(PHONE)
    page.goto("/events")
    page.get_by_text("Filters", exact=True).click()
    page.get_by_label("rejected").check()
    page.get_by_label("Order id").fill(str(ORDER))
    page.get_by_role("button", name="Show").click()
    page.get_by_text("Filters (in use)").click()
    expect(page.get_by_label("rejected")).to_be_checked()
    page.get_by_role("link", name="missing field").click()
    expect(page.get_by_role("heading", name="Dead letter 1")).to_be_visible()
    expect(page.get_by_text("delivery dead-letters replay 1")).to_be_visible()
    page.get_by_role("link", name="orders/0/5").click()
    page.get_by_text("Filters (in use)").click()
    expect(page.get_by_label("Record", exact=True)).to_have_value("orders/0/5")
    expect(page.get_by_role("row")).to_have_count(2)


def test_the_api_is_tried_out_on_its_page_and_nothing_comes_from_elsewhere(
    new_page: NewPage, address: str
) -> None:
    page = new_page(DESK)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto("/api/docs")
    page.get_by_role("button", name="/api/v1/orders/{order_id}").first.click()
    page.get_by_placeholder("order_id").fill(str(ORDER))
    page.get_by_role("button", name="Execute").click()
    expect(page.locator(".live-responses-table")).to_contain_text(f'"order_id": {ORDER}')
    assert all(url.startswith((address, "data:")) for url in asked)
