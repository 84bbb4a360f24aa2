"""Lists as lines: all rows that match, streamed, in the format that is asked for."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import every_outcome
import httpx
import pytest
from served import SECONDS, served, wait_until

from delivery import history
from delivery.errors import UnavailableError
from delivery.postgres.database import Connection
from delivery.web.api import export

LISTS = {"events": "events", "dead-letters": "dead_letters"}
NDJSON, CSV = "application/x-ndjson", "text/csv"


@pytest.fixture
def client(
    connection: Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[httpx.Client]:
    """A service that exports three rows at a time, on its one connection."""
    monkeypatch.setattr(export, "ROWS", 3)
    every_outcome.fill(connection)
    with (
        served(database_url, web_pool_size=1) as url,
        httpx.Client(base_url=f"{url}/api/v1", timeout=SECONDS) as client,
    ):
        yield client


def page(client: httpx.Client, path: str, **filters: Any) -> list[dict[str, Any]]:
    """All rows of a list, as JSON."""
    told = client.get(path, params={"limit": 1000, **filters}).json()
    rows: list[dict[str, Any]] = told[LISTS[path]]
    return rows


@pytest.mark.parametrize("path", LISTS)
def test_ndjson_has_each_row_of_the_list_as_an_object_a_line(
    client: httpx.Client, path: str
) -> None:
    answer = client.get(path, headers={"Accept": f"{NDJSON}, application/json;q=0.5"})
    assert answer.headers["content-type"] == NDJSON
    assert [json.loads(line) for line in answer.text.splitlines()] == page(client, path)


@pytest.mark.parametrize("path", LISTS)
def test_csv_has_a_header_and_each_row_of_the_list(client: httpx.Client, path: str) -> None:
    answer = client.get(path, headers={"Accept": CSV})
    assert answer.headers["content-type"].startswith(CSV)
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    expected = page(client, path)
    assert len(rows) == len(expected) > export.ROWS
    for row, told in zip(rows, expected, strict=True):
        headers = told.get("record_headers")
        told |= {"record_headers": json.dumps(headers)} if headers else {}
        assert row == {n: "" if v is None else str(v) for n, v in told.items()}


def test_a_link_can_name_the_format_and_the_browser_keeps_a_file(client: httpx.Client) -> None:
    answer = client.get("events", params={"format": "csv", "outcome": "stale"})
    assert answer.headers["content-disposition"] == 'attachment; filename="events.csv"'
    assert len(list(csv.DictReader(io.StringIO(answer.text, newline="")))) == 1
    assert client.get("events", params={"format": "xml"}).status_code == 422
    followed = client.get("events", params={"format": "csv", "after": "now"})
    assert [wrong["field"] for wrong in followed.json()["errors"]] == ["format"]


@pytest.mark.parametrize("accepted", ["*/*", "text/html", "nonsense", "", "application/*", "a/b/c"])
def test_any_other_wish_is_answered_with_a_page_of_json(
    client: httpx.Client, accepted: str
) -> None:
    answer = client.get("events", headers={"Accept": accepted})
    assert answer.headers["content-type"] == "application/json"


def test_a_limit_and_a_cursor_hold_for_lines_too(client: httpx.Client) -> None:
    first = client.get("events", params={"limit": 4}).json()
    asked = {"format": "ndjson", "cursor": first["next"]}
    rest = client.get("events", params=asked).text.splitlines()
    some = client.get("events", params=asked | {"limit": 5}).text.splitlines()
    assert [json.loads(line) for line in rest] == page(client, "events")[4:]
    assert some == rest[:5]


def test_personal_data_is_masked_in_lines(client: httpx.Client) -> None:
    assert "Kim" not in client.get("events", params={"format": "ndjson"}).text
    assert "Kim" not in client.get("events", params={"format": "csv"}).text


def test_nothing_is_left_out_because_payloads_are_large(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "PAYLOAD_BUDGET_BYTES", 6_000)
    lines = client.get("events", params={"format": "ndjson", "order_id": every_outcome.ORDER})
    rows = [json.loads(line) for line in lines.text.splitlines()]
    outcomes = [row["outcome"] for row in rows if row["payload"] is None]
    assert outcomes == ["rejected", "duplicate"]


def test_a_client_that_does_not_read_holds_no_connection_and_no_more_than_it_can_not_take(
    connection: Connection, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.execute(
        "INSERT INTO processed_events (order_id, event_time, outcome, payload, record_topic,"
        " record_partition, record_offset) SELECT n, now(), 'created',"
        " to_json(repeat('x', 500000)), 'orders', 1, n FROM generate_series(1, 300) AS n"
    )
    read: list[int] = []
    find = history.page
    monkeypatch.setattr(history, "page", lambda *a, **o: read.append(1) or find(*a, **o))  # type: ignore[func-returns-value]
    with client.stream("GET", "events", params={"format": "ndjson"}) as answer:
        next(answer.iter_raw())
        others = [client.get("events", params={"limit": 1}).status_code for _ in range(20)]
    assert set(others) == {200}
    assert len(read) - len(others) < 50  # of a hundred


def test_an_outage_in_the_middle_is_no_end(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = iter([1])
    find = history.page

    def fail_later(*arguments: Any, **options: Any) -> list[history.Row]:
        if next(pages, None) is None:
            raise UnavailableError("the database went away")
        return find(*arguments, **options)

    monkeypatch.setattr(history, "page", fail_later)
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("events", params={"format": "ndjson"})
    assert client.get("events", params={"format": "ndjson"}).status_code == 503


def test_head_tells_of_an_export_and_reads_little(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    find = history.page
    monkeypatch.setattr(history, "page", lambda *a, **o: read.append(1) or find(*a, **o))  # type: ignore[func-returns-value]
    answer = client.head("events", params={"format": "csv"})
    assert answer.headers["content-type"].startswith(CSV)
    assert answer.content == b""
    wait_until(lambda: len(read) >= 1)
    assert len(read) <= 2


def test_answers_of_the_api_are_compressed_and_pages_are_not(client: httpx.Client) -> None:
    """A page repeats its address beside personal data: see `compression`."""
    for path in ("events", "events?format=ndjson", "openapi.json"):
        answer = client.get(path)
        assert answer.headers["content-encoding"] == "gzip"
        assert "Accept-Encoding" in answer.headers["vary"]
        plain = client.get(path, headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.text == answer.text
    root = client.base_url.copy_with(path="/events")
    assert "content-encoding" not in client.get(root).headers
