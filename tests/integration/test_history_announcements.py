"""Whether the order service was told, and when: on the command line, in the API and on a page."""

import html
import json
import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from every_command import Run
from psycopg import sql
from pydantic import SecretStr
from records import batch, value
from served import served, without_ages

from delivery import history
from delivery.announce import announcements as announcing
from delivery.announce import outbox
from delivery.announce.announcements import Topic
from delivery.broker.transactions import PartitionOffset
from delivery.domain.event import Contract
from delivery.history import announcements
from delivery.inbox import transaction
from delivery.postgres.database import Connection
from delivery.postgres.roles import grant

TOLD = Topic("deliveries", UUID(int=7))

EARLIER, TWICE, WAITING = 1, 2, 3  # orders

EXPLAIN = f"EXPLAIN (ANALYZE, FORMAT json) {announcements._ANNOUNCEMENTS}"


@pytest.fixture
def log(connection: Connection) -> Connection:
    """One order from before the outbox was on, one announced and with a duplicate, one waiting."""
    transaction.process(connection, Contract(), batch(value(EARLIER)))
    outbox.of_worker(connection, is_wanted=True)
    process(connection, value(TWICE), value(TWICE, 5), first=1)
    process(connection, value(TWICE), first=3)
    (row,) = announcing.open_rows(connection, 10)
    announcing.mark(connection, TOLD, [row], [PartitionOffset(4, 77)])
    process(connection, value(WAITING), first=4)
    return connection


def process(connection: Connection, *contents: bytes, first: int) -> None:
    transaction.process(connection, Contract(), batch(*contents, first=first), outbox.write)


@pytest.fixture
def reader_url(database_url: str) -> Iterator[str]:
    """The database for a role that may only look."""
    name = f"{database_url.rpartition('/')[2]}_reader"
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
        grant(SecretStr(database_url), "reader", name)
        yield database_url.replace("//postgres@", f"//{name}@")
        for drop in ("DROP OWNED BY {}", "DROP ROLE {}"):
            owner.execute(sql.SQL(drop).format(sql.Identifier(name)))


def announced_at(connection: Connection) -> Any:
    ((time,),) = connection.execute("SELECT announced_at FROM announcements")
    return time


def test_the_history_of_an_order_says_below_its_table_when_it_was_announced(
    log: Connection, reader_url: str, run: Run
) -> None:
    def last_line(order_id: int) -> str:
        code, stdout, _ = run(reader_url, "history", str(order_id))
        assert code == 0
        return stdout.splitlines()[-1]

    time = announced_at(log).replace(tzinfo=None).isoformat(" ")
    assert last_line(TWICE) == f"announcement: {time} as deliveries/4/77"
    assert last_line(WAITING) == "announcement: still to come"
    assert last_line(EARLIER).startswith("announcement: none, as the outbox was off")
    _, lines, _ = run(reader_url, "history", str(TWICE), "--format", "json")
    assert {tuple(json.loads(line)) for line in lines.splitlines()} == {history.COLUMNS}


def test_the_api_tells_it_of_the_event_that_created_the_delivery(
    log: Connection, reader_url: str
) -> None:
    with served(reader_url) as url, httpx.Client(base_url=url) as client:
        events = client.get("/api/events").json()["events"]
        order = client.get(f"/api/orders/{TWICE}").json()
    nowhere = dict.fromkeys(("announced_at", "topic", "partition", "offset"))
    told = {
        "status": "announced",
        "announced_at": announced_at(log).isoformat().replace("+00:00", "Z"),
        "topic": "deliveries",
        "partition": 4,
        "offset": 77,
    }
    assert [(event["outcome"], event["announcement"]) for event in events] == [
        ("created", nowhere | {"status": "waiting"}),
        ("duplicate", None),
        ("updated", None),
        ("created", told),
        ("created", nowhere | {"status": "not_announced"}),
    ]
    assert [event["announcement"] for event in order["history"]] == [told, None, None]


def test_the_page_of_an_order_tells_it_in_words(log: Connection, reader_url: str) -> None:
    with served(reader_url) as url, httpx.Client(base_url=url) as client:
        pages = [read(client.get(f"/orders/{n}").text) for n in (TWICE, WAITING, EARLIER)]
    time = announced_at(log).replace(tzinfo=None).isoformat(" ", "milliseconds")
    words = [f"{time} as deliveries/4/77", "still to come", "none, as the outbox was off"]
    for page, expected in zip(pages, words, strict=True):
        assert page.count("Announcement") == 1
        assert f"Announcement {expected}" in page


def read(page: str) -> str:
    """The text without markup, and without ages, which grow."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", without_ages(page))).split())


def test_where_the_outbox_was_never_on_nothing_is_told_and_neither_table_is_read(
    connection: Connection, database_url: str, run: Run
) -> None:
    transaction.process(connection, Contract(), batch(value(EARLIER)))
    _, stdout, _ = run(database_url, "history", str(EARLIER))
    assert "announcement" not in stdout
    with served(database_url) as url, httpx.Client(base_url=url) as client:
        (event,) = client.get(f"/api/orders/{EARLIER}").json()["history"]
        assert event["announcement"] is None
        assert "Announcement" not in client.get(f"/orders/{EARLIER}").text
    key = "SELECT array_agg(order_id), array_agg(event_time), array_agg(consumed_at)"
    (values,) = connection.execute(f"{key} FROM processed_events")
    names = ("order_id", "event_time", "consumed_at")
    ((plan,),) = connection.execute(EXPLAIN, dict(zip(names, values, strict=True)))
    assert loops(plan[0]["Plan"]) == {"outbox_periods": 1, "outbox": 0, "announcements": 0}


def loops(node: dict[str, Any]) -> dict[str, int]:
    """How often each table is read."""
    found = {node["Relation Name"]: node["Actual Loops"]} if "Relation Name" in node else {}
    for child in node.get("Plans", ()):
        found |= loops(child)
    return found
