"""Operators resolve dead letters from the pages, others are refused, and it is written down."""

import html
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from httpx import Client, Response
from letters import GOOD_LETTERS
from served import served, wait_until

from delivery.postgres.database import Connection

BAD = """
INSERT INTO dead_letters (record_topic, record_partition, record_offset, record_time, record_key,
                          record_value, record_headers, reason, error)
SELECT 'others', 1, n, '2026-11-01T12:00Z', 'Mrs. Kim', 'no JSON of Mrs. Kim', '[]', 'not_json',
       format('Invalid JSON at column %%s', n)
FROM generate_series(1, %s) AS n
"""


@contextmanager
def visitor(database_url: str, operator_url: str) -> Iterator[Client]:
    """A visitor of a service that trusts this machine to say who it is."""
    settings: dict[str, Any] = {
        "web_login": "proxy",
        "web_trusted_proxies": "127.0.0.1",
        "web_operator_database_url": operator_url,
        "web_personal_data_readers": "group:privacy",
        "web_operators": "kim",
    }
    with served(database_url, **settings) as address, Client(base_url=address, timeout=30) as found:
        yield found


@pytest.fixture
def client(database_url: str, operator_url: str) -> Iterator[Client]:
    with visitor(database_url, operator_url) as found:
        yield found


KIM = {"X-Forwarded-User": "kim"}
LEE = {"X-Forwarded-User": "lee", "X-Forwarded-Groups": "privacy"}


def text(page: Response) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page.text)).split())


def hidden(page: Response) -> dict[str, str]:
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.text)
    return {name: html.unescape(value) for name, value in found}


def shown(client: Client) -> dict[str, str]:
    """What the form carries that asks what to do with all open letters."""
    return hidden(client.get("/dead-letters/resolve", headers=KIM))


def ended(client: Client, page: Response) -> str:
    """What the action's page says in the end."""
    assert page.status_code == 303, text(page)
    address = page.headers["location"]
    wait_until(lambda: "running" not in text(client.get(address, headers=KIM)))
    return text(client.get(address, headers=KIM))


def resolve(client: Client, action: str, **filters: str) -> Response:
    asked = client.get("/dead-letters/resolve", params=filters, headers=KIM)
    form = hidden(asked) | {"action": action, "note": "it is mended"}
    return client.post("/dead-letters/resolve", data=form, headers=KIM)


OTHERS = """
INSERT INTO dead_letters (record_topic, record_partition, record_offset, record_time, record_value,
                          record_headers, reason, error)
SELECT 'others', 2, n, '2026-11-01T12:00Z', '{}', '[]', 'invalid_field', 'orderId must be positive'
FROM generate_series(1, %s) AS n
"""
DONE = "SELECT coalesce(max(done), 0) FROM operator_actions"
COUNTS = """
SELECT reason, resolution, resolved_by, resolution_note, count(*) FROM dead_letters
GROUP BY 1, 2, 3, 4 ORDER BY 1, 2
"""
RUNNING = """
INSERT INTO operator_actions (acted_by, action, reason, letters, chosen, done, progressed_at)
VALUES ('kim', 'replay', 'x', 'y', 10, 4, CASE %s WHEN 'now' THEN now()
        ELSE now() - interval '3 min' END)
"""
ACTIONS = """
SELECT acted_by, action, reason, letters, chosen, done, error, ended_at IS NULL
FROM operator_actions ORDER BY action_id
"""


def test_20_000_letters_of_three_causes_are_worked_off_from_the_page_by_an_operator(
    client: Client, connection: Connection
) -> None:
    connection.execute(GOOD_LETTERS, (12_000,))
    connection.execute(BAD, (5_000,))
    connection.execute(OTHERS, (3_000,))
    page = client.get("/causes", headers=KIM)
    assert "12000 refused by database" in text(page)
    causes = [
        html.unescape(a) for a in re.findall(r'href="(/dead-letters/resolve[^"]*)"', page.text)
    ]
    for address, action, number in zip(
        causes, ("replay", "discard", "discard"), (12_000, 5_000, 3_000), strict=True
    ):
        asked = client.get(address, headers=KIM)
        assert f"{action.capitalize()} {number} letters" in text(asked)
        form = hidden(asked) | {"action": action, "note": "it is mended"}
        assert client.post("/dead-letters/resolve", data=form, headers=LEE).status_code == 403
        done = ended(client, client.post("/dead-letters/resolve", data=form, headers=KIM))
        assert f"{number} of {number} letters are through" in done
    assert connection.execute(COUNTS).fetchall() == [
        ("invalid_field", "discarded", "kim", "it is mended", 3_000),
        ("not_json", "discarded", "kim", "it is mended", 5_000),
        ("refused_by_database", "replayed", "kim", "it is mended", 12_000),
    ]
    assert connection.execute("SELECT count(*) FROM deliveries").fetchone() == (12_000,)
    assert connection.execute(ACTIONS).fetchall() == [
        ("kim", "replay", "it is mended", "reason=refused_by_database&error=SQLSTATE+23514",
         12_000, 12_000, None, False),
        ("kim", "discard", "it is mended", "reason=not_json&error=Invalid+JSON+at+column+N",
         5_000, 5_000, None, False),
        ("kim", "discard", "it is mended", "reason=invalid_field&error=orderId+must+be+positive",
         3_000, 3_000, None, False),
    ]  # fmt: skip
    audit = text(client.get("/actions", headers=LEE))
    assert (
        "discard it is mended reason=not_json&error=Invalid+JSON+at+column+N 5000 of 5000" in audit
    )


def test_a_service_that_is_stopped_says_how_far_it_came(
    database_url: str, operator_url: str, connection: Connection
) -> None:
    connection.execute(GOOD_LETTERS, (20_000,))
    with visitor(database_url, operator_url) as client:
        assert resolve(client, "replay").status_code == 303
        wait_until(lambda: connection.execute(DONE).fetchone()[0] > 0)  # type: ignore[index]
    (done,) = connection.execute(DONE).fetchone() or ()
    assert 0 < done < 20_000
    resolved = "SELECT count(*) FROM dead_letters WHERE resolved_at IS NOT NULL"
    assert connection.execute(resolved).fetchone() == (done,)
    with visitor(database_url, operator_url) as client:
        said = text(client.get("/actions/1", headers=KIM))
        assert "Replay: interrupted" in said
        assert "resolve them again" in said
        assert "20000 of 20000" not in ended(client, resolve(client, "replay"))
    assert connection.execute(resolved).fetchone() == (20_000,)


def test_what_arrives_while_somebody_decides_stays_open(
    client: Client, connection: Connection
) -> None:
    connection.execute(BAD, (3,))
    form = hidden(client.get("/dead-letters/resolve", headers=KIM))
    connection.execute(GOOD_LETTERS, (2,))
    form |= {"action": "discard", "note": "noise"}
    ended(client, client.post("/dead-letters/resolve", data=form, headers=KIM))
    assert [row[-1] for row in connection.execute(COUNTS)] == [3, 2]
    assert connection.execute(
        "SELECT count(*) FROM dead_letters WHERE resolved_at IS NULL"
    ).fetchone() == (2,)


def test_what_is_rejected_again_stays_open_and_one_letter_may_be_chosen(
    client: Client, connection: Connection
) -> None:
    connection.execute(BAD, (2,))
    page = client.get("/dead-letters/2", headers=KIM)
    assert 'href="/dead-letters/resolve?id=2"' in page.text
    ended(client, resolve(client, "replay", id="2"))
    assert connection.execute(COUNTS).fetchall() == [("not_json", None, None, None, 2)]
    ended(client, resolve(client, "discard", id="2"))
    asked = client.get("/dead-letters/resolve?id=2", headers=KIM)
    assert "No open letter matches" in text(asked)


def test_times_of_arrival_choose_letters_and_pages_name_their_zone(
    client: Client, connection: Connection
) -> None:
    connection.execute(BAD, (3,))
    connection.execute(
        "UPDATE dead_letters SET consumed_at = now() - interval '3 h' WHERE record_offset = 1"
    )
    client.cookies.set("delivery_zone", "Asia/Seoul")
    page = ended(client, resolve(client, "discard", since="1h"))
    assert "2 of 2 letters" in page
    assert "All times are " in page


def test_a_time_without_a_zone_chooses_the_letters_that_its_list_shows(
    client: Client, connection: Connection
) -> None:
    connection.execute(BAD, (3,))
    connection.execute(
        "UPDATE dead_letters SET consumed_at = now() - interval '3 h' WHERE record_offset = 1"
    )
    client.cookies.set("delivery_zone", "Asia/Seoul")
    an_hour_ago = datetime.now(ZoneInfo("Asia/Seoul")) - timedelta(hours=1)
    since = an_hour_ago.replace(tzinfo=None).isoformat(timespec="seconds")
    listed = client.get("/dead-letters", params={"since": since}, headers=KIM)
    (address,) = re.findall(r'href="(/dead-letters/resolve[^"]*)"', listed.text)
    asked = client.get(html.unescape(address), headers=KIM)
    assert "Discard 2 letters" in text(asked)


def test_nobody_else_may(client: Client, connection: Connection) -> None:
    connection.execute(BAD, (2,))
    for path in ("/dead-letters", "/dead-letters/1"):
        assert "/dead-letters/resolve" not in client.get(path, headers=LEE).text
    form = shown(client) | {"action": "discard", "note": "noise"}
    for refused in (
        client.get("/dead-letters/resolve", headers=LEE),
        client.post("/dead-letters/resolve", data=form, headers=LEE),
        client.post("/dead-letters/1/reveal", data=form, headers=KIM),
        client.post(
            "/dead-letters/resolve", data=form, headers=KIM | {"Sec-Fetch-Site": "same-site"}
        ),
    ):
        assert refused.status_code == 403
    assert client.post("/dead-letters/resolve", data=form).status_code == 401
    assert connection.execute(ACTIONS).fetchall() == []
    assert connection.execute(COUNTS).fetchall() == [("not_json", None, None, None, 2)]


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"action": "discard"}, "Say why"),
        ({"action": "discard", "note": "  "}, "Say why"),
        ({"action": "discard", "note": "x" * 501}, "Say why"),
        ({"action": "discard", "note": "a\0b"}, "Say why"),
        ({"note": "noise"}, "Choose one: replay or discard"),
        ({"action": "reveal", "note": "noise"}, "Choose one: replay or discard"),
        ({"action": "discard", "note": "noise", "since": "x"}, "since"),
        ({"action": "discard", "note": "noise", "id": "0"}, "whole number"),
    ],
)
def test_a_form_that_lacks_something_changes_nothing(
    client: Client, connection: Connection, form: dict[str, str], said: str
) -> None:
    connection.execute(BAD, (1,))
    page = client.post("/dead-letters/resolve", data=shown(client) | form, headers=KIM)
    assert (page.status_code, said in text(page)) == (422, True)
    assert connection.execute(ACTIONS).fetchall() == []


@pytest.mark.parametrize("token", ["", "x", "of another login"])
def test_a_form_that_was_not_shown_to_its_sender_is_refused(
    client: Client, connection: Connection, token: str
) -> None:
    connection.execute(BAD, (1,))
    form = shown(client) | {"action": "discard", "note": "noise"}
    form["token"] = (
        hidden(client.get("/dead-letters/1", headers=LEE))["token"] if token[2:] else token
    )
    page = client.post("/dead-letters/resolve", data=form, headers=KIM)
    assert (page.status_code, "load its page again" in text(page)) == (400, True)
    assert connection.execute(ACTIONS).fetchall() == []


def test_what_was_resolved_meanwhile_is_asked_about_again(
    client: Client, connection: Connection
) -> None:
    connection.execute(BAD, (3,))
    form = shown(client) | {"action": "discard", "note": "noise"}
    connection.execute(
        "UPDATE dead_letters SET resolved_at = now(), resolution = 'discarded' "
        "WHERE dead_letter_id = 1"
    )
    asked = client.post("/dead-letters/resolve", data=form, headers=KIM)
    assert (asked.status_code, "Discard 2 letters" in text(asked)) == (422, True)
    assert "Their number has changed" in text(asked)
    again = hidden(asked) | {"action": "discard", "note": "noise"}
    ended(client, client.post("/dead-letters/resolve", data=again, headers=KIM))
    assert "2 of 2 letters" in text(client.get("/actions/1", headers=KIM))


def test_only_one_action_is_under_way_whichever_process_it_is_in(
    client: Client, connection: Connection
) -> None:
    connection.execute(BAD, (1,))
    connection.execute(RUNNING, ("now",))
    refused = resolve(client, "discard")
    assert (refused.status_code, "Another action is under way" in text(refused)) == (422, True)
    connection.execute("UPDATE operator_actions SET progressed_at = now() - interval '3 min'")
    ended(client, resolve(client, "discard"))
    audit = text(client.get("/actions", headers=LEE))
    assert "4 of 10 interrupted" in audit
    assert "1 of 1 done" in audit


def test_a_form_that_is_too_large_is_refused(client: Client) -> None:
    page = client.post("/dead-letters/resolve", data={"note": "x" * 20_000}, headers=KIM)
    assert page.status_code == 413


def test_personal_data_is_shown_to_who_may_see_it_and_that_is_written_down(
    client: Client, connection: Connection
) -> None:
    connection.execute(BAD, (1,))
    masked = client.get("/dead-letters/1", headers=LEE)
    assert "Mrs. Kim" not in masked.text
    assert "Show it unmasked" in masked.text
    assert "Show it unmasked" not in client.get("/dead-letters/1", headers=KIM).text
    token = hidden(masked)
    without = client.post("/dead-letters/1/reveal", data=token | {"note": ""}, headers=LEE)
    assert (without.status_code, "Mrs. Kim" in without.text) == (422, False)
    revealed = client.post("/dead-letters/1/reveal", data=token | {"note": "ticket 7"}, headers=LEE)
    assert (revealed.status_code, "Mrs. Kim" in revealed.text) == (200, True)
    assert connection.execute(ACTIONS).fetchall() == [
        ("lee", "reveal", "ticket 7", "id=1", 1, 1, None, False)
    ]
    assert (
        client.post("/dead-letters/9/reveal", data=token | {"note": "x"}, headers=LEE).status_code
        == 404
    )


def test_an_action_whose_process_is_gone_says_so(client: Client, connection: Connection) -> None:
    connection.execute(RUNNING, ("3 min ago",))
    page = client.get("/actions/1", headers=LEE)
    assert "Replay: interrupted" in text(page)
    assert "4 of 10 letters are through" in text(page)
    assert "Refresh" not in page.headers
    assert client.get("/actions/2", headers=LEE).status_code == 404


def test_a_failure_is_told_on_the_actions_page(client: Client, connection: Connection) -> None:
    connection.execute(BAD, (1,))
    connection.execute("ALTER TABLE dead_letters ADD CHECK (resolution <> 'discarded')")
    said = ended(client, resolve(client, "discard"))
    assert "failed" in said
    assert "SQLSTATE 23514" in said


def test_without_an_operators_database_there_is_nothing_to_act_with(database_url: str) -> None:
    settings: dict[str, Any] = {"web_login": "proxy", "web_trusted_proxies": "127.0.0.1"}
    with (
        served(database_url, web_operators="kim", **settings) as address,
        Client(base_url=address, headers=KIM) as client,
    ):
        assert "/actions" not in client.get("/").text
        assert client.get("/actions").status_code == 404
        assert client.post("/dead-letters/resolve").status_code == 405


def test_letters_are_chosen_by_text_by_those_who_see_it_and_it_is_not_written_down(
    database_url: str, operator_url: str, connection: Connection
) -> None:
    connection.execute(BAD, (3,))
    connection.execute(OTHERS, (2,))
    both = {"X-Forwarded-User": "kim", "X-Forwarded-Groups": "privacy"}
    with visitor(database_url, operator_url) as client:
        refused = client.get("/dead-letters/resolve", params={"text": "Mrs. Kim"}, headers=KIM)
        assert "only those who may see personal data" in text(refused).lower()
        assert "note" not in hidden(refused) | {"number": "0"}
        asked = client.get("/dead-letters/resolve", params={"text": "Mrs. Kim"}, headers=both)
        form = hidden(asked) | {"action": "discard", "note": "noise"}
        assert form["number"] == "3"
        assert client.post("/dead-letters/resolve", data=form, headers=KIM).status_code in (
            400,
            422,
        )
        ended(client, client.post("/dead-letters/resolve", data=form, headers=both))
    ((letters,),) = connection.execute("SELECT letters FROM operator_actions").fetchall()
    assert letters == "text=%5Bmasked%5D"
    assert connection.execute(DONE).fetchone() == (3,)
