"""The HTTP API on real rows: what it tells, what it hides, and how it says no."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import every_outcome
import httpx
import pytest
from every_outcome import ORDER, PERSONAL
from records import batch, value
from served import served, wait_until

from delivery.domain.event import Contract
from delivery.inbox import transaction
from delivery.postgres.database import Connection

Client = httpx.Client


@pytest.fixture
def open_client(database_url: str) -> Iterator[Callable[..., Client]]:
    """Starts the service with the settings that are given, and connects to it."""
    with ExitStack() as started:

        def open_(**settings: Any) -> Client:
            url = started.enter_context(served(database_url, **settings))
            return started.enter_context(httpx.Client(base_url=url))

        yield open_


@pytest.fixture
def client(connection: Connection, open_client: Callable[..., Client]) -> Client:
    """A service whose log has a row of every outcome."""
    every_outcome.fill(connection)
    return open_client()


def test_an_order_is_its_delivery_and_its_history_the_oldest_first(client: Client) -> None:
    told = client.get(f"/api/v1/orders/{ORDER}").json()
    assert told["delivery"]["status"] == "dispatched"
    assert told["delivery"]["quantity"] == 3
    assert [event["outcome"] for event in told["history"]] == [
        "created", "updated", "stale", "duplicate", "conflict", "rejected", "too_late",
    ]  # fmt: skip
    assert told["truncated"] is False


def test_an_order_whose_records_are_all_rejected_has_no_delivery(
    connection: Connection, open_client: Callable[..., Client]
) -> None:
    transaction.process(connection, Contract(), batch(b'{"event": {"orderId": 7}}'))
    told = open_client().get("/api/v1/orders/7").json()
    assert told["delivery"] is None
    assert [event["reason"] for event in told["history"]] == ["missing_field"]


def test_of_a_long_history_the_newest_part_is_returned_and_marked_as_a_part(
    connection: Connection, open_client: Callable[..., Client]
) -> None:
    add(connection, 1, 1001)
    told = open_client().get("/api/v1/orders/1").json()
    assert told["truncated"] is True
    assert [event["record_offset"] for event in told["history"]] == list(range(1, 1001))


def test_an_order_of_which_nothing_is_known_is_a_problem(client: Client) -> None:
    answer = client.get("/api/v1/orders/424242")
    assert_problem(answer, 404)
    assert "order 424242" in answer.json()["detail"]


def test_an_order_id_that_is_none_is_named(client: Client) -> None:
    for order_id in ["0", "-1", str(2**63), "9" * 5000, "x", "1.5", "%00", "NaN", "%FF"]:
        assert_problem(client.get(f"/api/v1/orders/{order_id}"), 422, "order_id")


def test_pages_hold_each_row_once_while_rows_are_added(
    connection: Connection, open_client: Callable[..., Client]
) -> None:
    for order_id in range(1, 8):
        add(connection, order_id, 3)
    client, seen = open_client(), []
    answer = client.get("/api/v1/events", params={"limit": 4})
    there = [(event["order_id"], event["record_offset"]) for event in everything(client)]
    for order_id in range(100, 200):
        seen += [(e["order_id"], e["record_offset"]) for e in answer.json()["events"]]
        if answer.json()["next"] is None:
            break
        add(connection, order_id, 2)
        answer = client.get(answer.links["next"]["url"])
    assert seen == there
    assert len(seen) == 21


def test_a_duration_means_on_each_page_what_it_meant_on_the_first(
    connection: Connection, open_client: Callable[..., Client]
) -> None:
    add(connection, 1, 3, timedelta(seconds=-2))
    client = open_client()
    first = client.get("/api/v1/events", params={"since": "3s", "limit": 1})
    offsets = [event["record_offset"] for event in first.json()["events"]]
    assert offsets == [2]
    old = {"since": "3s", "limit": "3"}
    wait_until(lambda: not client.get("/api/v1/events", params=old).json()["events"])
    second = client.get("/api/v1/events", params=old | {"cursor": first.json()["next"]})
    assert [event["record_offset"] for event in second.json()["events"]] == [1, 0]


def test_the_last_page_has_no_next(client: Client) -> None:
    answer = client.get("/api/v1/events", params={"limit": 1000})
    assert answer.json()["next"] is None
    assert "link" not in answer.headers


FILTERS: list[tuple[dict[str, Any], list[str]]] = [
    ({"order_id": ORDER, "outcome": ["stale", "rejected"]}, ["rejected", "stale"]),
    ({"outcome": "conflict"}, ["conflict"]),
    ({"record": "orders/0/1"}, ["updated"]),
    ({"record": "orders/9/1"}, []),
    ({"until": "2001-01-01T00:00:00Z"}, []),
    ({"since": "0001-01-01T00:00:00+00:00", "outcome": "too_late"}, ["too_late"]),
    ({"since": "9999-12-31T23:59:59Z"}, []),
    ({"since": "1h", "until": "2h"}, []),
]


def test_events_are_those_for_which_all_filters_hold(client: Client) -> None:
    for filters, expected in FILTERS:
        told = client.get("/api/v1/events", params=filters).json()
        assert [event["outcome"] for event in told["events"]] == expected


WRONG: list[tuple[str, str | bytes]] = [
    ("since", "someday"),
    ("since", "999999999w"),
    ("since", "0001-01-01T00:00:00+23:59"),
    ("until", "9999-12-31T23:59:59-23:59"),
    ("until", "\x00"),
    ("outcome", "lost"),
    ("record", "orders/0"),
    ("record", f"orders/0/{2**63}"),
    ("record", "orders\x00/0/1"),
    ("order_id", str(2**64)),
    ("order_id", "١٢"),
    ("limit", "0"),
    ("limit", "1001"),
    ("limit", "1e3"),
    ("cursor", "garbage"),
    ("cursor", "AAAAAAAAAAAAAAAAAAAA"),
    ("cursor", "\ud800".encode("utf-8", "surrogatepass")),
    ("outcomes", "rejected"),
]


def test_what_is_wrong_in_the_request_is_named(client: Client) -> None:
    for parameter, given in WRONG:
        answer = client.get("/api/v1/events", params={parameter: given})
        assert_problem(answer, 422, parameter)


def test_bytes_that_are_no_utf8_are_refused(client: Client) -> None:
    answer = client.get("/api/v1/events?record=%FF%FE/0/1&since=%C3%28&order_id=%ED%A0%80")
    assert_problem(answer, 422, "since", "record", "order_id")


def test_a_cursor_is_of_one_list_and_its_filters(client: Client) -> None:
    cursor = client.get("/api/v1/events", params={"limit": 1}).json()["next"]
    tampered = f"{cursor[:-2]}{'A' if cursor[-2] != 'A' else 'B'}{cursor[-1]}"
    assert_problem(client.get("/api/v1/events", params={"cursor": tampered}), 422, "cursor")
    assert_problem(client.get("/api/v1/dead-letters", params={"cursor": cursor}), 422, "cursor")
    other = {"cursor": cursor, "outcome": "created"}
    assert_problem(client.get("/api/v1/events", params=other), 422, "cursor")
    assert client.get("/api/v1/events", params={"cursor": cursor, "limit": 7}).is_success


def test_personal_data_is_masked(client: Client) -> None:
    told = client.get(f"/api/v1/orders/{ORDER}").json()
    assert "Kim" not in json.dumps(told)
    assert "31" not in (told["delivery"]["ordered_by"], told["delivery"]["request_message"])
    assert json.loads(told["history"][0]["payload"])["event"]["orderId"] == ORDER
    assert "Kim" not in client.get("/api/v1/events?limit=1000").text


def test_personal_data_is_shown_where_the_setting_says_so(
    connection: Connection, open_client: Callable[..., Client]
) -> None:
    every_outcome.fill(connection)
    told = open_client(web_show_personal_data=True).get(f"/api/v1/orders/{ORDER}").json()
    assert told["delivery"]["ordered_by"] == 31
    assert json.loads(told["history"][0]["payload"])["event"]["requestMessage"] == PERSONAL


def test_payloads_are_included_as_long_as_they_are_not_too_much(
    connection: Connection, open_client: Callable[..., Client]
) -> None:
    large = "x" * 900_000
    records = batch(*(value(n, n, requestMessage=large) for n in range(1, 8)))
    transaction.process(connection, Contract(), records)
    events = everything(open_client())
    assert [event["payload"] is None for event in events] == [False] * 4 + [True] * 3
    assert all(event["payload_bytes"] > len(large) for event in events)


def test_dead_letters_are_open_ones_the_newest_first_page_by_page(client: Client) -> None:
    first = client.get("/api/v1/dead-letters", params={"limit": 3})
    second = client.get(first.links["next"]["url"])
    letters = first.json()["dead_letters"] + second.json()["dead_letters"]
    assert [letter["reason"] for letter in letters] == [
        "tombstone", "not_json", "not_json", "missing_field",
    ]  # fmt: skip
    assert second.json()["next"] is None
    assert "record_value" not in letters[0]


def test_dead_letters_are_filtered(client: Client, connection: Connection) -> None:
    connection.execute(
        "UPDATE dead_letters SET resolved_at = now(), resolution = 'discarded' "
        "WHERE reason = 'tombstone'"
    )

    def reasons(**filters: str) -> list[str]:
        told = client.get("/api/v1/dead-letters", params=filters).json()
        return [letter["reason"] for letter in told["dead_letters"]]

    assert reasons() == ["not_json", "not_json", "missing_field"]
    assert reasons(resolution="discarded") == ["tombstone"]
    assert reasons(resolution="replayed") == []
    assert reasons(resolution="any", reason="not_json") == ["not_json", "not_json"]
    assert_problem(client.get("/api/v1/dead-letters?reason=other"), 422, "reason")


def test_dead_letters_are_found_by_time_order_topic_and_error(
    client: Client, connection: Connection
) -> None:
    connection.execute(
        "UPDATE dead_letters SET consumed_at = '2026-01-01T00:00Z', order_id = 77, "
        "record_topic = 'others', error = 'row 3 field 14' WHERE reason = 'tombstone'"
    )

    def reasons(**filters: str) -> set[str]:
        told = client.get("/api/v1/dead-letters", params=filters).json()
        return {letter["reason"] for letter in told["dead_letters"]}

    for given in (
        {"until": "2026-01-02"},
        {"order_id": "77"},
        {"topic": "others"},
        {"error": "Field 14"},
        {"error": "row N field N"},
    ):
        assert reasons(**given) == {"tombstone"}, given
    first = client.get("/api/v1/dead-letters", params={"since": "1h", "limit": 2})
    second = client.get(first.links["next"]["url"])
    assert len(second.json()["dead_letters"]) == 1
    assert reasons(since="1h") == {"not_json", "missing_field"}
    assert_problem(client.get("/api/v1/dead-letters?error=%00"), 422, "error")


def test_stats_count_each_record_in_its_minute(client: Client) -> None:
    def counted() -> dict[str, int]:
        told = client.get("/api/v1/stats", params={"since": "5m"}).json()
        buckets = [bucket["counts"] or {} for bucket in told["buckets"]]
        return {name: sum(b.get(name, 0) for b in buckets) for name in sorted(buckets[-1])}

    wait_until(lambda: bool(counted()))
    assert counted() == {
        "conflict": 1, "created": 4, "duplicate": 1, "rejected": 4, "stale": 1, "too_late": 1,
        "updated": 2,
    }  # fmt: skip
    wait_until(lambda: client.get("/api/v1/stats").json()["deliveries"] is not None)
    told = client.get("/api/v1/stats").json()
    assert told["deliveries"]["counts"]["dispatched"] == 1
    assert told["open_dead_letters"]["not_json"] == 2


def test_stats_have_so_many_buckets_at_most(client: Client) -> None:
    told = client.get("/api/v1/stats?since=0001-01-01T00:00:00Z&bucket=1m").json()
    assert len(told["buckets"]) in (1500, 1501)
    assert client.get("/api/v1/stats?since=9999-12-31T00:00:00Z").json()["buckets"] == []


def test_without_kafka_the_lag_is_not_known_and_it_is_said_why(client: Client) -> None:
    told = client.get("/api/v1/stats").json()
    assert told["lag"] is None
    assert "DELIVERY_KAFKA_BOOTSTRAP_SERVERS" in told["no_lag"]


def letter_id(client: Client, reason: str) -> int:
    told = client.get("/api/v1/dead-letters", params={"reason": reason}).json()
    return int(told["dead_letters"][0]["dead_letter_id"])


def test_a_dead_letter_has_its_record_masked_where_there_is_something_to_mask(
    client: Client,
) -> None:
    for reason, masked in (("tombstone", None), ("missing_field", "[masked]")):
        told = client.get(f"/api/v1/dead-letters/{letter_id(client, reason)}").json()
        assert told["reason"] == reason
        assert told["record_value"] == masked
        assert told["record_key"] is None
        assert told["advice"]


def test_a_dead_letter_is_shown_whole_where_the_setting_says_so(
    client: Client, open_client: Callable[..., Client]
) -> None:
    whole = open_client(web_show_personal_data=True)
    told = whole.get(f"/api/v1/dead-letters/{letter_id(client, 'missing_field')}").json()
    assert told["record_value"] == '{"event": {"orderId": 1001}}'
    assert told["value_bytes"] == len(told["record_value"])
    assert told["order_id"] == ORDER


def test_a_dead_letter_that_does_not_exist_is_a_problem(client: Client) -> None:
    assert_problem(client.get("/api/v1/dead-letters/424242"), 404)
    assert_problem(client.get("/api/v1/dead-letters/x"), 422, "dead_letter_id")


def test_the_addresses_without_a_version_answer_the_same(client: Client) -> None:
    for path in (f"orders/{ORDER}", "events", "dead-letters?reason=not_json", "openapi.json"):
        assert client.get(f"/api/{path}").json() == client.get(f"/api/v1/{path}").json()
    first = client.get("/api/events", params={"limit": 1})
    assert first.links["next"]["url"].startswith("/api/events?")
    assert client.get(first.links["next"]["url"]).is_success


def test_each_operation_has_a_name_for_generated_code_and_a_tag_that_is_described(
    client: Client,
) -> None:
    described = client.get("/api/v1/openapi.json").json()
    operations = [found["get"] for found in described["paths"].values()]
    assert {operation["operationId"] for operation in operations} == {
        "get_order", "list_events", "list_dead_letters", "get_dead_letter", "get_stats",
        "get_health", "get_readiness",
    }  # fmt: skip
    tags = {tag["name"] for tag in described["tags"]}
    assert {tag for operation in operations for tag in operation["tags"]} == tags


def everything(client: Client) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = client.get("/api/v1/events?limit=1000").json()["events"]
    return events


def add(connection: Connection, order_id: int, rows: int, age: timedelta = timedelta(0)) -> None:
    """Rows of one order that arrive now, or so long ago."""
    connection.execute(
        "INSERT INTO processed_events (order_id, event_time, outcome, payload, record_topic,"
        " record_partition, record_offset, consumed_at) SELECT %(order)s,"
        " now() + n * interval '1 second', 'created', '{}', 'orders', %(order)s, n, %(at)s"
        " FROM generate_series(0, %(rows)s - 1) AS n",
        {"order": order_id, "rows": rows, "at": datetime.now(UTC) + age},
    )


def assert_problem(answer: httpx.Response, status: int, *fields: str) -> None:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["status"] == status
    assert told["title"]
    assert {wrong["field"] for wrong in told.get("errors", [])} == set(fields)
