"""Following the log: each row once, in order, also one that is committed late."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import every_outcome
import httpx
import pytest
from psycopg import sql
from pydantic import SecretStr
from records import batch, value
from served import SECONDS, served, wait_until

from delivery.domain.event import Contract
from delivery.inbox import transaction
from delivery.postgres import database
from delivery.postgres.database import Connection
from delivery.postgres.roles import grant
from delivery.web import watermark

PATH = "/api/v1/events"

INSERT = """
INSERT INTO processed_events (order_id, event_time, outcome, payload, record_topic,
                              record_partition, record_offset, consumed_at)
VALUES (%s, now(), 'created', '{}', 'orders', 0, %s, clock_timestamp())
"""


class Follower:
    """A client that asks for what follows, again and again."""

    def __init__(self, client: httpx.Client, after: str = "start", **filters: Any) -> None:
        self.client = client
        self.after = after
        self.filters = filters
        self.seen: list[int] = []  # offsets

    def ask(self) -> int:
        """Asks once, and says how many rows came."""
        answer = self.client.get(PATH, params={**self.filters, "after": self.after})
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert told["next"] is None
        self.after = told["after"]
        self.seen += [event["record_offset"] for event in told["events"]]
        return len(told["events"])


@pytest.fixture
def client(connection: Connection, database_url: str) -> Iterator[httpx.Client]:
    with served(database_url) as url, httpx.Client(base_url=url) as client:
        wait_until(lambda: client.get(PATH, params={"after": "now"}).status_code == 200)
        yield client


@pytest.fixture
def write(database_url: str) -> Iterator[Callable[[int], Connection]]:
    """Inserts a row on a connection of its own, and leaves it to be committed."""
    opened: list[Connection] = []

    def insert(offset: int) -> Connection:
        connected = database.connect(SecretStr(database_url), "delivery worker")
        opened.append(connected.__enter__())
        opened[-1].execute("BEGIN")
        opened[-1].execute(INSERT, (offset + 1, offset))
        return opened[-1]

    yield insert
    for connection in opened:
        connection.close()


def test_the_log_is_followed_from_its_start_the_oldest_first(
    connection: Connection, client: httpx.Client
) -> None:
    every_outcome.fill(connection)
    rows = client.get(PATH, params={"limit": 1000}).json()["events"]
    wanted = [event["record_offset"] for event in rows][::-1]
    follower = Follower(client, limit=3)
    wait_until(lambda: not follower.ask() and len(follower.seen) >= len(wanted))
    assert follower.seen == wanted


def test_a_row_that_is_committed_late_is_not_skipped(
    client: httpx.Client, write: Callable[[int], Connection]
) -> None:
    follower = Follower(client)
    late = write(1)
    write(2).execute("COMMIT")
    newest = lambda: client.get(PATH).json()["events"][0]["record_offset"]  # noqa: E731
    assert newest() == 2
    deadline = time.monotonic() + 3 * watermark.INTERVAL_S
    while time.monotonic() < deadline:  # several looks: it is held back in each
        follower.ask()
        assert follower.seen == []
    late.execute("COMMIT")
    wait_until(lambda: follower.ask() == 0 and len(follower.seen) == 2)
    assert follower.seen == [1, 2]


def test_who_begins_now_is_told_nothing_of_before_and_all_of_after(
    client: httpx.Client, write: Callable[[int], Connection]
) -> None:
    write(1).execute("COMMIT")
    early = Follower(client)
    wait_until(lambda: early.ask() == 1)
    follower = Follower(client, after="now")
    follower.ask()
    write(2).execute("COMMIT")
    wait_until(lambda: follower.ask() == 1)
    assert follower.seen == [2]


def test_a_transaction_that_outlives_any_worker_holds_nothing_back(
    connection: Connection, database_url: str, write: Callable[[int], Connection],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("delivery.web.app.late_commit_window", lambda _: timedelta(seconds=1))
    write(1)  # is never committed
    with served(database_url) as url, httpx.Client(base_url=url) as client:
        write(2).execute("COMMIT")
        follower = Follower(client)
        wait_until(lambda: client.get(PATH, params={"after": "now"}).status_code == 200)
        wait_until(lambda: follower.ask() == 1)
    assert follower.seen == [2]


def test_a_role_that_may_only_read_follows_as_well(
    connection: Connection, database_url: str, write: Callable[[int], Connection]
) -> None:
    role = connection.info.dbname + "_reader"
    connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
    grant(SecretStr(database_url), "reader", role)
    as_role = database_url.replace("postgres@", f"{role}@")
    with served(as_role) as url, httpx.Client(base_url=url) as client:
        wait_until(lambda: client.get(PATH, params={"after": "now"}).status_code == 200)
        test_a_row_that_is_committed_late_is_not_skipped(client, write)


def test_filters_hold_for_who_follows_and_since_says_where_to_begin(
    connection: Connection, client: httpx.Client
) -> None:
    every_outcome.fill(connection)
    stale = Follower(client, outcome="stale")
    wait_until(lambda: stale.ask() == 1)
    assert Follower(client, since="9999-01-01").ask() == 0
    none = client.get(PATH, params={"after": stale.after})
    assert none.status_code == 422  # a cursor of another list
    both = client.get(PATH, params={"after": "now", "cursor": "x"})
    assert [wrong["field"] for wrong in both.json()["errors"]] == ["after"]


def test_no_payload_is_left_out_because_others_are_large(
    connection: Connection, client: httpx.Client
) -> None:
    records = [value(n, n, requestMessage="x" * 900_000) for n in range(1, 8)]
    transaction.process(connection, Contract(), batch(*records))
    follower, payloads = Follower(client), []
    deadline = time.monotonic() + SECONDS
    while len(payloads) < 7:
        assert time.monotonic() < deadline
        told = client.get(PATH, params={"after": follower.after}).json()
        follower.after = told["after"]
        payloads += [event["payload"] for event in told["events"]]
    assert all(payloads)


WRITERS, EACH = 4, 60


def test_while_others_write_each_row_comes_once_and_in_order(
    connection: Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a look every few milliseconds, as many of them meet a transaction that runs."""
    monkeypatch.setattr(watermark, "INTERVAL_S", 0.001)

    def work(writer: int) -> None:
        with database.connect(SecretStr(database_url), "delivery worker") as own:
            for number in range(EACH):
                with own.transaction():
                    own.execute(INSERT, (writer * EACH + number + 1, writer * EACH + number))
                    own.execute("SELECT pg_sleep(random() * 0.03)")

    threads = [threading.Thread(target=work, args=(writer,)) for writer in range(WRITERS)]
    with served(database_url) as url, httpx.Client(base_url=url) as client:
        wait_until(lambda: client.get(PATH, params={"after": "now"}).status_code == 200)
        follower = Follower(client, limit=7)
        for thread in threads:
            thread.start()
        wait_until(lambda: not follower.ask() and len(follower.seen) >= WRITERS * EACH)
    for thread in threads:
        thread.join()
    rows = connection.execute(
        "SELECT record_offset FROM processed_events"
        " ORDER BY consumed_at, record_topic, record_partition, record_offset"
    )
    assert follower.seen == [offset for (offset,) in rows]
