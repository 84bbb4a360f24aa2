"""DELIVERY_DISPLAY_TIMEZONE on the command line: what tables show, and how a time is read."""

import json

import pytest
from test_commands import delivery

from delivery.postgres.database import Connection

EVENT = """
INSERT INTO processed_events (order_id, event_time, outcome, payload, record_topic,
                              record_partition, record_offset, consumed_at)
VALUES (%(n)s, %(at)s, 'created', '{}', 'orders', 0, %(n)s, %(at)s)
"""


@pytest.fixture
def log(connection: Connection) -> None:
    for n, at in ((1, "2026-11-23T00:30Z"), (2, "2026-11-23T16:30Z"), (3, "2026-10-25T00:30Z")):
        connection.execute(EVENT, {"n": n, "at": at})


def found(database_url: str, *arguments: str, **settings: str) -> list[int]:
    done = delivery(
        "history", *arguments, "--format", "json", database_url=database_url, **settings
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["order_id"] for line in done.stdout.splitlines()]


@pytest.mark.usefixtures("log")
def test_a_table_shows_and_names_the_zone_and_json_stays_in_utc(database_url: str) -> None:
    table = delivery("history", "2", database_url=database_url, display_timezone="Asia/Seoul")
    header, row = table.stdout.splitlines()
    assert header.split()[:2] == ["consumed_at", "(Asia/Seoul)"]
    assert "event_time (Asia/Seoul)" in header
    assert row.startswith("2026-11-24 01:30:00 ")
    form = ("history", "2", "--format", "json")
    told = delivery(*form, database_url=database_url, display_timezone="Asia/Seoul").stdout
    assert json.loads(told)["consumed_at"] == "2026-11-23T16:30:00+00:00"


@pytest.mark.usefixtures("log")
def test_an_hour_that_comes_twice_is_shown_with_its_offset(database_url: str) -> None:
    table = delivery("history", "3", database_url=database_url, display_timezone="Europe/Berlin")
    assert table.stdout.splitlines()[1].startswith("2026-10-25 02:30:00+02:00 ")


@pytest.mark.usefixtures("log")
def test_a_time_without_a_zone_is_one_of_the_setting_s(database_url: str) -> None:
    seoul = {"display_timezone": "Asia/Seoul"}
    assert found(database_url, "--since", "2026-11-24", **seoul) == [2]
    assert found(database_url, "--since", "2026-11-24") == []
    assert found(database_url, "--since", "2026-11-24 KST") == [2]
    assert found(database_url, "--since", "2026-11-23T16:30Z", **seoul) == [2]
    assert found(database_url, "--until", "yesterday 10:00 KST", "--since", "2026-11-23") == [1, 2]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2026-11-23 10:00 CST", "CST means several zones: write the offset instead"),
        ("2026-03-29T02:30", "is skipped by the clocks of Europe/Berlin: write 2026-03-29 "),
        ("2026-10-25T02:30", "comes twice in Europe/Berlin: write 2026-10-25 02:30:00+02:00 or"),
        ("someday", "is neither a time such as"),
    ],
)
def test_what_may_mean_several_moments_is_refused_with_what_to_write(text: str, told: str) -> None:
    nowhere = "postgresql://nobody@127.0.0.1:1/none"
    for command in (["history"], ["verify"], ["dead-letters", "list"]):
        done = delivery(
            *command, "--since", text, database_url=nowhere, display_timezone="Europe/Berlin"
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert told in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_zone_that_is_none_is_told_by_its_variable() -> None:
    nowhere = "postgresql://nobody@127.0.0.1:1/none"
    done = delivery("history", "--since", "10:00", database_url=nowhere, display_timezone="Seoul")
    assert done.returncode == 2
    assert "DELIVERY_DISPLAY_TIMEZONE is not a time zone of the IANA database" in done.stderr
