"""`delivery dead-letters`: letters by cause, and the filters that all its commands share."""

import pytest
from test_dead_letters import add, count, dead_letters, objects

from delivery.postgres.database import Connection

MANY = """
INSERT INTO dead_letters (record_topic, record_partition, record_offset, record_time,
                          record_headers, reason, error, consumed_at)
SELECT 'orders', 0, n, '2026-11-01T12:00Z', '[]',
       CASE n % 3 WHEN 0 THEN 'not_json' ELSE 'refused_by_database' END,
       CASE n % 3 WHEN 0 THEN format('line %s column %s: no value', n, n + 1)
                  WHEN 1 THEN 'SQLSTATE 23514: constraint few'
                  ELSE 'SQLSTATE 22P02: constraint few' END,
       timestamptz '2026-11-01T12:00Z' + n * interval '1 second'
FROM generate_series(1, 20000) AS n
"""


def ids(url: str, *options: str) -> list[int]:
    listed = objects(dead_letters(url, "list", "--format", "json", *options))
    return [letter["dead_letter_id"] for letter in listed]


@pytest.fixture
def letters(connection: Connection) -> None:
    """Three open letters: 1 and 2 of one cause, 3 of another order, topic and time."""
    add(connection, 1, b"{", error="Expecting value: line 1 column 2")
    add(connection, 2, b"{{", error="Expecting value: line 1 column 17")
    add(connection, 3, None, "tombstone", error="the value is null", order_id=7)
    connection.execute(
        "UPDATE dead_letters SET record_topic = 'others', consumed_at = '2026-01-01T00:00Z' "
        "WHERE dead_letter_id = 3"
    )


def test_twenty_thousand_letters_of_three_causes_are_three_groups(
    connection: Connection, database_url: str
) -> None:
    connection.execute(MANY)
    groups = objects(dead_letters(database_url, "groups", "--format", "json"))
    assert [(group["letters"], group["error"], group["first_id"]) for group in groups] == [
        (6667, "SQLSTATE 22P02: constraint few", 2),
        (6667, "SQLSTATE 23514: constraint few", 1),
        (6666, "line N column N: no value", 3),
    ]
    assert groups[2]["first_seen"] == "2026-11-01T12:00:03+00:00"
    assert groups[2]["last_seen"] == "2026-11-01T17:33:18+00:00"


@pytest.mark.usefixtures("letters")
def test_the_groups_are_a_table_for_people(database_url: str) -> None:
    done = dead_letters(database_url, "groups")
    assert (done.returncode, done.stderr) == (0, "")
    header, first, second = map(str.rstrip, done.stdout.splitlines())
    assert header.split() == [
        *("letters", "reason", "first_seen", "(UTC)", "last_seen", "(UTC)", "first_id", "error")
    ]
    assert first.split()[:2] == ["2", "not_json"]
    assert first.endswith("Expecting value: line N column N")
    assert second.endswith("the value is null")


@pytest.mark.usefixtures("letters")
def test_a_group_is_listed_by_its_reason_and_error(database_url: str) -> None:
    group = "Expecting value: line N column N"
    assert ids(database_url, "--reason", "not_json", "--error", group) == [1, 2]


@pytest.mark.usefixtures("letters")
def test_letters_are_found_by_time_order_topic_and_a_part_of_the_error(database_url: str) -> None:
    assert ids(database_url, "--since", "2026-01-02") == [1, 2]
    assert ids(database_url, "--until", "2026-01-02T00:00Z") == [3]
    assert ids(database_url, "--order", "7") == [3]
    assert ids(database_url, "--topic", "others") == [3]
    assert ids(database_url, "--error", "EXPECTING") == [1, 2]
    assert ids(database_url, "--error", "column 17") == [2]
    assert ids(database_url, "--error", "column", "--since", "1m", "--topic", "orders") == [1, 2]


@pytest.mark.usefixtures("letters")
def test_where_no_letter_matches_it_is_said(database_url: str) -> None:
    for command in ("list", "groups"):
        done = dead_letters(database_url, command, "--order", "8")
        assert (done.returncode, done.stderr) == (0, "no open dead letters match\n")


@pytest.mark.usefixtures("letters")
def test_only_the_letters_that_match_are_discarded(
    connection: Connection, database_url: str
) -> None:
    options = ["--all", "--error", "line N column N", "--note", "noise"]
    done = dead_letters(database_url, "discard", *options)
    assert (done.returncode, done.stderr) == (0, "discarded: 2 of 2\n")
    assert ids(database_url) == [3]


@pytest.mark.usefixtures("letters")
def test_only_the_letters_that_match_are_replayed(
    connection: Connection, database_url: str
) -> None:
    done = dead_letters(database_url, "replay", "--all", "--topic", "others")
    assert (done.returncode, done.stderr) == (1, "replayed: 0 of 1\n")
    assert done.stdout.startswith("3 (others/3/3) stays: tombstone")


@pytest.mark.usefixtures("letters")
@pytest.mark.parametrize("command", [("replay",), ("discard", "--note", "noise")], ids=" ".join)
def test_a_dry_run_says_which_letters_it_would_be_and_changes_nothing(
    connection: Connection, database_url: str, command: tuple[str, ...]
) -> None:
    done = dead_letters(database_url, *command, "--all", "--topic", "orders", "--dry-run")
    resolution = f"{command[0]}ed"
    assert (done.returncode, done.stderr) == (0, f"would be {resolution}: 2 of 2\n")
    assert done.stdout.splitlines()[0] == (
        f"1 (orders/3/1) would be {resolution}: not_json: Expecting value: line 1 column 2"
    )
    assert count(connection) == (0, 0, 0, 3)
    unknown = dead_letters(database_url, *command, "1", "99", "--dry-run")
    assert (unknown.returncode, "no dead letter 99" in unknown.stderr) == (1, True)


@pytest.mark.usefixtures("letters")
def test_a_letter_is_shown_by_its_records_coordinates(database_url: str) -> None:
    shown = dead_letters(database_url, "show", "others/3/3")
    assert shown.stdout == dead_letters(database_url, "show", "3").stdout
    assert shown.returncode == 0
    absent = dead_letters(database_url, "show", "others/3/4")
    assert (absent.returncode, "no dead letter others/3/4" in absent.stderr) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["show", "0"], "neither an ID nor"),
        (["show", "others/x"], "neither TOPIC/PARTITION/OFFSET"),
        (["discard", "--note", "noise"], "either ids, or --all"),
        (["discard", "1", "--topic", "orders", "--note", "noise"], "either ids, or --all"),
        (["replay", "1", "--since", "2h"], "either ids, or --all"),
        (["list", "--since", "soon"], "neither a time"),
    ],
)
def test_a_choice_that_is_none_is_refused(arguments: list[str], told: str) -> None:
    done = dead_letters("postgresql://nobody@127.0.0.1:1/none", *arguments)
    assert (done.returncode, told in " ".join(done.stderr.split())) == (2, True)
