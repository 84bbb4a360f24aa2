"""The headers of processed records: kept, shown, masked, archived, erased."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import zstandard
from alembic import command
from every_command import Run
from letters import TESTER
from psycopg.errors import InsufficientPrivilege
from pydantic import SecretStr
from records import ONE_AM, record, value
from served import SECONDS, served, wait_until

from delivery import history
from delivery.cli import DONE, USAGE
from delivery.dead_letters import queries, resolve
from delivery.domain.event import Contract
from delivery.domain.record import Header, Record
from delivery.history import EventFilter
from delivery.inbox import transaction
from delivery.postgres import database, migrations
from delivery.postgres.database import Connection
from delivery.web.masking import MASK
from delivery.web.pages.timeline import SHOWN_HEADERS

Contents = Callable[[], dict[str, list[str]]]

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
HEADERS: list[Header] = [
    ("traceparent", TRACE.encode()),
    ("customer", "Frau Müller\0".encode()),
    ("customer", b"\xff\x00"),
    ("empty", b""),
    ("none", None),
]
STORED = [
    {"key": "traceparent", "value": TRACE},
    {"key": "customer", "value": "Frau Müller\0"},
    {"key": "customer", "value_hex": "ff00"},
    {"key": "empty", "value": ""},
    {"key": "none", "value": None},
]
SHOWN = [  # what a terminal obeys is in hexadecimal
    {"key": "traceparent", "value": TRACE},
    {"key": "customer", "value": f"0x{'Frau Müller'.encode().hex()}00"},
    {"key": "customer", "value": "0xff00"},
    {"key": "empty", "value": ""},
    {"key": "none", "value": None},
]
MASKED = [
    {"key": "traceparent", "value": TRACE},
    *[{"key": MASK, "value": MASK}] * 3,
    {"key": MASK, "value": None},
]


def process(connection: Connection, *records: Record) -> dict[str, int]:
    return dict(+transaction.process(connection, Contract(), records))


def kept(connection: Connection, query: str = "SELECT record_headers FROM processed_events") -> Any:
    """The headers by the log's order."""
    query = query.replace("record_headers", "record_headers::text")
    rows = connection.execute(f"{query} ORDER BY record_offset")
    return [json.loads(text) if text else None for (text,) in rows]


def test_headers_are_kept_where_a_record_carries_some(connection: Connection) -> None:
    records = [
        record(0, value(1)),
        record(1, value(2), headers=HEADERS),
        record(2, value(3), headers=HEADERS[:1]),
    ]
    assert process(connection, *records) == {"created": 3}
    assert kept(connection) == [None, STORED, STORED[:1]]


def test_a_record_that_comes_again_changes_no_headers(
    connection: Connection, contents: Contents
) -> None:
    process(connection, record(0, value(1), headers=HEADERS), record(1, value(2)))
    before = contents()
    again = [record(0, value(1)), record(1, value(2), headers=HEADERS)]
    assert process(connection, *again) == {"redelivered": 2}
    assert contents() == before


def test_the_view_has_the_headers_last_of_events_and_of_dead_letters(
    connection: Connection,
) -> None:
    records = [
        record(0, value(1), headers=HEADERS),
        record(1, value(1), headers=HEADERS),  # a duplicate
        record(2, b"no JSON", headers=HEADERS),
        record(3, b"no JSON"),
    ]
    process(connection, *records)
    seen = connection.execute("SELECT * FROM event_history LIMIT 0").description
    assert seen is not None
    assert seen[-1].name == "record_headers"
    assert kept(connection, "SELECT record_headers FROM event_history") == [
        STORED, None, STORED, None,
    ]  # fmt: skip


def test_the_event_of_a_letter_that_is_replayed_has_the_letter_s_headers(
    connection: Connection,
) -> None:
    strict = Contract(max_future_skew=ONE_AM - ONE_AM)
    ahead = record(0, value(1, 24 * 60), headers=HEADERS)
    assert transaction.process(connection, strict, [ahead])["rejected"] == 1
    lenient = Contract(max_future_skew=3 * (ahead.time - ONE_AM)) if ahead.time else Contract()
    ids = queries.open_ids(connection)
    ((letter,),) = resolve.replay(connection, lenient, ids, TESTER)
    assert letter.resolution == "replayed"
    assert kept(connection) == [STORED]
    assert kept(connection, "SELECT record_headers FROM event_history") == [STORED]


def test_history_masks_headers_unless_they_are_asked_for(
    connection: Connection, database_url: str, run: Run
) -> None:
    process(connection, record(0, value(1), headers=HEADERS), record(1, value(2)))
    masked = run(database_url, "history", "--format", "json")[1].splitlines()
    assert [json.loads(line)["record_headers"] for line in masked] == [MASKED, None]
    code, told, _ = run(database_url, "history", "--format", "json", "--show-personal-data")
    assert code == DONE
    assert [json.loads(line)["record_headers"] for line in told.splitlines()] == [SHOWN, None]
    told = run(database_url, "history", "--format", "csv", "--show-personal-data")[1]
    rows = list(csv.DictReader(io.StringIO(told, newline="")))
    assert list(rows[0])[-1] == "record_headers"
    assert json.loads(rows[0]["record_headers"]) == SHOWN
    assert rows[1]["record_headers"] == ""
    told = run(database_url, "history", "--format", "csv")[1]
    assert "Müller" not in told
    assert "record_headers" not in run(database_url, "history")[1]


def test_a_table_has_no_personal_data_to_show(database_url: str, run: Run) -> None:
    code, _, error = run(database_url, "history", "--show-personal-data")
    assert code == USAGE
    assert "needs --format json or csv" in error


def followed(client: httpx.Client) -> list[dict[str, Any]]:
    """The log as one follows it from its start, up to where it is complete."""
    answer = client.get("/events", params={"after": "start"})
    return answer.json()["events"] if answer.status_code == 200 else []


def test_the_api_has_headers_masked_and_the_same_in_each_format(
    connection: Connection, database_url: str
) -> None:
    process(connection, record(0, value(1), headers=HEADERS), record(1, value(2)))
    for shows, expected in ((False, MASKED), (True, SHOWN)):
        with (
            served(database_url, web_show_personal_data=shows) as address,
            httpx.Client(base_url=f"{address}/api/v1", timeout=SECONDS) as client,
        ):
            order = client.get("/orders/1").json()["history"]
            wait_until(lambda: len(followed(client)) == 2)
            following = followed(client)
            listed = client.get("/events").json()["events"][::-1]
            lines = client.get("/events", params={"format": "ndjson"}).text.splitlines()[::-1]
            text = client.get("/events", params={"format": "csv"}).text
        assert [event["record_headers"] for event in order] == [expected]
        assert list(order[0])[-1] == "record_headers"
        assert [event["record_headers"] for event in listed] == [expected, None]
        assert [json.loads(line)["record_headers"] for line in lines] == [expected, None]
        cells = [row["record_headers"] for row in csv.DictReader(io.StringIO(text, newline=""))]
        assert cells[0] == ""
        assert json.loads(cells[1]) == expected
        assert [event["record_headers"] for event in following] == [expected, None]


def test_the_page_of_an_order_shows_headers_and_no_more_than_some(
    connection: Connection, database_url: str
) -> None:
    many = [(f"ce_id{n}", f"number {n}".encode()) for n in range(SHOWN_HEADERS + 7)]
    process(connection, record(0, value(1), headers=HEADERS), record(1, value(2), headers=many))
    with (
        served(database_url) as address,
        httpx.Client(base_url=address, timeout=SECONDS) as client,
    ):
        page = client.get("/orders/1").text
    assert page.count("Header <bdi>") == len(HEADERS)
    assert TRACE in page
    assert "customer" not in page
    with (
        served(database_url, web_show_personal_data=True) as address,
        httpx.Client(base_url=address, timeout=SECONDS) as client,
    ):
        page, other = (client.get(f"/orders/{order}").text for order in (1, 2))
    assert all(str(header["value"]) in page for header in SHOWN[:4])
    assert other.count("Header <bdi>") == SHOWN_HEADERS
    assert "number 19" in other
    assert "number 20" not in other
    assert "And 7 more headers" in other
    assert "history --record orders/0/1 --format json" in other


def test_headers_count_for_the_bytes_that_one_answer_may_have(connection: Connection) -> None:
    large = [("large", b"x" * 900_000)]
    process(connection, *[record(n, value(n + 1), headers=large) for n in range(6)])
    rows = history.page(connection, EventFilter(), 10)
    assert [row["record_headers"] is None for row in rows] == [False] * 4 + [True] * 2
    assert [row["is_whole"] for row in rows] == [True] * 4 + [False] * 2
    assert {row["payload_bytes"] for row in rows} == {len(value(1))}
    with database.transaction(connection):
        assert len(list(history.events(connection, EventFilter()))) == 6


def test_an_erasure_takes_the_headers_away_and_verify_holds(
    connection: Connection, database_url: str, run: Run
) -> None:
    process(connection, record(0, value(1), headers=HEADERS), record(1, value(2), headers=HEADERS))
    assert run(database_url, "erase", "--order", "1", "--reason", "a test")[0] == DONE
    assert kept(connection) == [None, STORED]
    assert run(database_url, "verify", "--database-only")[:2] == (DONE, "")


@pytest.mark.parametrize("headers", ["'[]'", "NULL", "record_headers"])
def test_the_log_is_append_only_for_headers_too(
    connection: Connection, contents: Contents, headers: str
) -> None:
    process(connection, record(0, value(1), headers=HEADERS))
    before = contents()
    with pytest.raises(InsufficientPrivilege, match="append-only"):
        connection.execute(f"UPDATE processed_events SET record_headers = {headers}")
    assert contents() == before


def test_an_erasure_that_leaves_the_headers_is_refused(
    connection: Connection, contents: Contents
) -> None:
    process(connection, record(0, value(1), headers=HEADERS))
    before = contents()
    with pytest.raises(InsufficientPrivilege, match="append-only"):
        connection.execute(
            "INSERT INTO erasures (erased_by, criterion, reason) VALUES ('me', 'order', 'a test');"
            "UPDATE processed_events SET payload = erased_payload(order_id, event_time), "
            "erasure_id = (SELECT max(erasure_id) FROM erasures)"
        )
    assert contents() == before


FILE = "processed_events-2024-11.csv.zst"
NOVEMBER = b'{"event": {"orderId": %d}, "createdAt": "2024-11-%02dT00:00:00Z"}'


def test_an_archive_has_the_headers_and_one_of_before_is_read_without(
    connection: Connection, database_url: str, run: Run, tmp_path: Path
) -> None:
    process(connection, record(0, NOVEMBER % (1, 1), headers=HEADERS), record(1, NOVEMBER % (2, 2)))
    before = run(database_url, "history", "--format", "json", "--show-personal-data")[1]
    rows = kept(connection)
    assert run(database_url, "archive", "--before", "2024-12", "--to", str(tmp_path))[0] == DONE
    assert kept(connection) == []
    file = ("history", "--archive", str(tmp_path / FILE), "--format", "json")
    nowhere = "postgresql://nowhere:1/x"
    assert run(nowhere, *file, "--show-personal-data")[1] == before
    masked = [json.loads(line)["record_headers"] for line in run(nowhere, *file)[1].splitlines()]
    assert masked == [MASKED, None]
    text = zstandard.ZstdDecompressor().decompressobj().decompress((tmp_path / FILE).read_bytes())
    with connection.cursor().copy(
        "COPY processed_events FROM STDIN (FORMAT csv, HEADER MATCH)"
    ) as copy:
        copy.write(text)
    assert kept(connection) == rows == [STORED, None]
    table = list(csv.reader(io.StringIO(text.decode(), newline="")))
    assert table[0][-1] == "record_headers"
    former = io.StringIO(newline="")
    csv.writer(former).writerows(row[:-1] for row in table)
    (tmp_path / FILE).write_bytes(zstandard.compress(former.getvalue().encode()))
    told = [json.loads(line) for line in run(nowhere, *file)[1].splitlines()]
    assert [(row["order_id"], row["record_headers"]) for row in told] == [(1, None), (2, None)]


def test_an_import_has_no_headers(
    connection: Connection, database_url: str, run: Run, tmp_path: Path
) -> None:
    baseline = tmp_path / "known.jsonl"
    baseline.write_text('{"order_id": 1, "event_time": "2026-01-01T00:00:00Z"}\n')
    assert run(database_url, "import", str(baseline))[0] == DONE
    assert kept(connection) == [None]


def test_workers_of_the_version_before_write_on_and_their_erasures_reach_the_headers(
    empty_database_url: str,
) -> None:
    url = SecretStr(empty_database_url)
    with migrations.engine(url).connect() as engine:
        command.upgrade(migrations.config(engine), "0011")
        engine.commit()
    former = (
        "INSERT INTO processed_events (order_id, event_time, outcome, payload, record_topic, "
        "record_partition, record_offset, consumed_at) "
        "VALUES (%s, now(), 'created', '{}', 'orders', 0, %s, now())"
    )
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(former, (1, 1))
        before = connection.execute("SELECT xmin, order_id FROM processed_events").fetchall()
        migrations.upgrade(url)
        rows = connection.execute("SELECT xmin, order_id FROM processed_events").fetchall()
        assert rows == before
        connection.execute(former, (2, 2))
        connection.execute("SELECT erase_personal_data('{1,2}', '{}', 'order', 'a test')")
        erased = "SELECT count(*) FROM event_history WHERE erasure_id IS NOT NULL"
        assert connection.execute(erased).fetchone() == (2,)


def test_a_downgrade_takes_the_column_away_and_the_functions_with_it(
    connection: Connection, database_url: str
) -> None:
    process(connection, record(0, value(1), headers=HEADERS), record(1, value(2)))
    with migrations.engine(SecretStr(database_url)).connect() as engine:
        command.downgrade(migrations.config(engine), "0011")
        engine.commit()
    seen = connection.execute("SELECT * FROM event_history LIMIT 0").description
    assert seen is not None
    assert seen[-1].name == "erasure_id"
    connection.execute("SELECT erase_personal_data('{1}', '{}', 'order', 'a test')")
    erased = "SELECT order_id FROM event_history WHERE erasure_id IS NOT NULL"
    assert connection.execute(erased).fetchall() == [(1,)]
