"""`delivery dead-letters`, as people run it: real processes, exit codes, stdout and stderr."""

import csv
import getpass
import io
import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from broken import BROKEN
from letters import GOOD_LETTERS
from processes import wait_until
from service import Service
from stream import Sent
from test_commands import Done, assert_one_line, command, delivery, environment

from delivery.postgres.database import Connection

Contents = Callable[[], dict[str, list[str]]]

LETTER = """
INSERT INTO dead_letters (record_topic, record_partition, record_offset, record_time, record_key,
                          record_value, record_headers, reason, error, order_id)
VALUES ('orders', 3, %s, '2026-11-01T12:00Z', %s, %s, %s, %s, %s, %s)
"""
EVENT = b'{"event": {"orderId": %d}, "createdAt": [2026,11,1,12,0]}'

COUNTS = """
SELECT (SELECT count(*) FROM processed_events), (SELECT count(*) FROM deliveries),
       (SELECT count(*) FROM dead_letters WHERE resolution = 'replayed'),
       (SELECT count(*) FROM dead_letters WHERE resolution IS NULL)
"""

# A letter in the list as JSON or CSV.
COLUMNS = ("dead_letter_id", "consumed_at", "reason", "order_id", "record_topic",
           "record_partition", "record_offset", "record_time", "error", "resolved_at",
           "resolution", "resolution_note", "resolved_by", "record_key", "record_value",
           "record_headers", "erasure_id")  # fmt: skip


def add(
    connection: Connection,
    offset: int,
    content: bytes | None,
    reason: str = "not_json",
    key: bytes | None = None,
    headers: str = "[]",
    error: str = "an error",
    order_id: int | None = None,
) -> None:
    """A letter; the first one has the id 1, and so on."""
    connection.execute(LETTER, (offset, key, content, headers, reason, error, order_id))


@pytest.fixture
def letters(connection: Connection) -> None:
    """Four letters: 1 is discarded, 2 can't be replayed, 3 and 4 can, as different orders."""
    add(connection, 10, b"a test")
    connection.execute(
        "UPDATE dead_letters SET resolved_at = now(), resolution = 'discarded', "
        "resolution_note = 'a test'"
    )
    add(connection, 11, b"no JSON")
    add(connection, 12, EVENT % 5, "refused_by_database", error="SQLSTATE 23514: no", order_id=5)
    add(connection, 13, EVENT % 6, "future_event_time", error="12 h ahead", order_id=6)


def dead_letters(url: str, *arguments: str, **settings: str) -> Done:
    return delivery("dead-letters", *arguments, stdin=b"", database_url=url, **settings)


def objects(done: Done) -> list[dict[str, Any]]:
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def count(connection: Connection) -> tuple[Any, ...]:
    (counts,) = connection.execute(COUNTS)
    return counts


# list


@pytest.mark.usefixtures("letters")
def test_the_open_letters_are_listed_the_oldest_first(database_url: str) -> None:
    done = dead_letters(database_url, "list")
    assert (done.returncode, done.stderr) == (0, "")
    header, *rows = done.stdout.splitlines()
    names = ["id", "consumed_at", "(UTC)", "reason", "order_id", "record", "resolution", "error"]
    assert header.split() == names
    told = [re.split(r"  +", row.strip()) for row in rows]
    assert [(row[0], row[2]) for row in told] == [
        ("2", "not_json"),
        ("3", "refused_by_database"),
        ("4", "future_event_time"),
    ]
    assert told[1][3:] == ["5", "orders/3/12", "SQLSTATE 23514: no"]


@pytest.mark.usefixtures("letters")
def test_json_is_one_object_a_line_with_the_names_of_columns(database_url: str) -> None:
    listed = objects(dead_letters(database_url, "list", "--all", "--format", "json"))
    assert {tuple(letter) for letter in listed} == {COLUMNS}
    assert [letter["resolution_note"] for letter in listed] == ["a test", None, None, None]
    assert (listed[2]["order_id"], listed[2]["record_offset"]) == (5, 12)
    assert listed[2]["record_time"] == "2026-11-01T12:00:00+00:00"


def test_a_list_for_programs_has_the_contents_masked_unless_they_are_asked_for(
    connection: Connection, database_url: str
) -> None:
    headers = '[{"key": "__TypeId__", "value": "a.B"}, {"key": "kim", "value_hex": "ff00"}]'
    add(connection, 1, "문 앞".encode(), key=b"\0\7", headers=headers)
    add(connection, 2, None, "tombstone")
    add(connection, 3, b"{" * 300_000, headers="[]")
    columns = ("record_key", "record_value", "record_headers")

    def listed(*options: str) -> tuple[list[Any], list[Any]]:
        of_json = objects(dead_letters(database_url, "list", "--format", "json", *options))
        done = dead_letters(database_url, "list", "--format", "csv", *options)
        assert (done.returncode, done.stderr) == (0, "")
        csv.field_size_limit(1_000_000)
        of_csv = list(csv.DictReader(io.StringIO(done.stdout, newline="")))
        assert tuple(of_csv[0]) == COLUMNS
        for row in of_csv:
            row["record_headers"] = json.loads(row["record_headers"])
        return [[[row[c] for c in columns] for row in rows] for rows in (of_json, of_csv)]

    of_json, of_csv = listed()
    assert of_json == [
        [
            "[masked]",
            "[masked]",
            [
                {"key": "__TypeId__", "value": "[masked]"},
                {"key": "[masked]", "value": "[masked]"},
            ],
        ],
        [None, None, []],
        [None, "[masked]", []],
    ]
    assert of_csv == [[cell or "" if cell != [] else cell for cell in row] for row in of_json]

    of_json, of_csv = listed("--show-personal-data")
    contents = [
        {"key": "__TypeId__", "value": "a.B"},
        {"key": "kim", "value": "0xff00"},
    ]
    assert of_json[0] == of_csv[0] == ["0x0007", "문 앞", contents]
    assert (of_json[2][1], of_csv[2][1]) == ("{" * 300_000, "{" * 300_000)


def test_a_table_has_no_contents_to_show(database_url: str) -> None:
    done = dead_letters(database_url, "list", "--show-personal-data")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--show-personal-data needs --format json or csv" in done.stderr


@pytest.mark.usefixtures("letters")
def test_history_names_the_letter_that_show_takes(database_url: str) -> None:
    table = delivery("history", "--outcome", "rejected", database_url=database_url).stdout
    *_, shown = table.splitlines()[-1].split()
    assert shown == "4"
    told = delivery("history", "6", "--format", "json", database_url=database_url).stdout
    assert json.loads(told)["dead_letter_id"] == 4
    assert "12 h ahead" in dead_letters(database_url, "show", shown).stdout


@pytest.mark.usefixtures("letters")
def test_a_list_is_filtered(database_url: str) -> None:
    def ids(*options: str) -> list[int]:
        done = dead_letters(database_url, "list", "--format", "json", *options)
        return [letter["dead_letter_id"] for letter in objects(done)]

    assert ids("--reason", "not_json") == [2]
    assert ids("--reason", "not_json", "--all") == [1, 2]
    assert ids("--limit", "2") == [2, 3]


def test_an_empty_list_says_so(database_url: str) -> None:
    for options, said in (([], "no open dead letters\n"), (["--all"], "no dead letters\n")):
        done = dead_letters(database_url, "list", *options)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", said)


def test_a_long_table_is_cut_and_says_so(connection: Connection, database_url: str) -> None:
    connection.execute(GOOD_LETTERS, (101,))
    done = dead_letters(database_url, "list")
    assert len(done.stdout.splitlines()) == 1 + 100
    assert "only the first 100 are shown" in done.stderr
    everything = dead_letters(database_url, "list", "--format", "json")
    assert len(everything.stdout.splitlines()) == 101


# show


def test_contents_are_text_where_they_are_text_and_hexadecimal_otherwise(
    connection: Connection, database_url: str
) -> None:
    headers = '[{"key": "a", "value": "문"}, {"key": "a", "value_hex": "ff00"}]'
    add(connection, 1, "문 앞\n".encode(), key=b"\0\0\0\7", headers=headers)
    add(connection, 2, None, "tombstone")
    first, second = (
        objects(dead_letters(database_url, "show", number, "--format", "json"))[0]
        for number in "12"
    )
    assert (first["record_key"], first["record_value"]) == ("0x00000007", "문 앞\n")
    assert first["record_headers"] == [{"key": "a", "value": "문"}, {"key": "a", "value": "0xff00"}]
    assert (second["record_key"], second["record_value"]) == (None, None)
    for_people = dead_letters(database_url, "show", "1").stdout
    assert "record_key:       0x00000007\nrecord_value:     문 앞\n\n" in for_people
    assert "record_header:    a=문\nrecord_header:    a=0xff00\n" in for_people


@pytest.mark.usefixtures("letters")
def test_show_has_all_columns_and_what_to_do(database_url: str, connection: Connection) -> None:
    columns = connection.execute("SELECT * FROM dead_letters LIMIT 0").description
    (told,) = objects(dead_letters(database_url, "show", "3", "--format", "json"))
    assert set(told) == {column.name for column in columns or ()} | {"advice"}
    assert "then replay" in told["advice"]
    done = dead_letters(database_url, "show", "1")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[lines.index("resolution:       discarded") :][1:4] == [
        "resolution_note:  a test",
        "resolved_by:      ",
        "advice:           ",
    ]


def test_a_letter_that_does_not_exist_is_one_line(database_url: str) -> None:
    assert_one_line(dead_letters(database_url, "show", "7"), 1, "there is no dead letter 7")


# replay and discard


@pytest.mark.usefixtures("letters")
def test_a_replay_says_of_each_letter_what_became_of_it(
    connection: Connection, database_url: str, contents: Contents
) -> None:
    done = dead_letters(database_url, "replay", "--all")
    assert (done.returncode, done.stderr) == (1, "replayed: 2 of 3\n")
    first, *rest = done.stdout.splitlines()
    assert first.startswith("2 (orders/3/11) stays: not_json: Invalid JSON")
    assert rest == ["3 (orders/3/12) replayed", "4 (orders/3/13) replayed"]
    before = contents()
    again = dead_letters(database_url, "replay", "3", "4", "3")
    assert (again.returncode, again.stderr) == (0, "replayed: 2 of 2\n")
    assert dead_letters(database_url, "replay", "--all").stderr == "replayed: 0 of 1\n"
    assert contents() == before
    assert count(connection) == (2, 2, 2, 1)


@pytest.mark.usefixtures("letters")
def test_a_replay_may_be_of_some_letters_only(connection: Connection, database_url: str) -> None:
    one = dead_letters(database_url, "replay", "4")
    assert (one.returncode, one.stderr) == (0, "replayed: 1 of 1\n")
    of_a_reason = ["--all", "--reason", "refused_by_database"]
    assert dead_letters(database_url, "replay", *of_a_reason).stderr == "replayed: 1 of 1\n"
    none_left = dead_letters(database_url, "replay", *of_a_reason)
    assert (none_left.returncode, none_left.stderr) == (0, "replayed: 0 of 0\n")
    discarded = dead_letters(database_url, "replay", "1")
    assert (discarded.returncode, discarded.stdout) == (1, "1 (orders/3/10) discarded\n")
    unknown = dead_letters(database_url, "replay", "4", "98", "99")
    assert unknown.returncode == 1
    assert "delivery: there is no dead letter 98, 99:" in unknown.stderr
    assert count(connection) == (2, 2, 2, 1)


@pytest.mark.usefixtures("letters")
def test_who_resolves_letters_and_why_is_kept_with_them(
    connection: Connection, database_url: str
) -> None:
    dead_letters(database_url, "replay", "3", "--by", "Kim", "--note", "the trigger is mended")
    dead_letters(database_url, "replay", "3", "4")
    dead_letters(database_url, "discard", "2", "--note", "noise", "--by", "Lee")
    query = "SELECT resolved_by, resolution_note FROM dead_letters ORDER BY dead_letter_id"
    assert connection.execute(query).fetchall() == [
        (None, "a test"),
        ("Lee", "noise"),
        ("Kim", "the trigger is mended"),
        (getpass.getuser(), None),
    ]
    assert "resolved_by:      Kim\n" in dead_letters(database_url, "show", "3").stdout


def test_a_replay_reads_times_as_the_worker_does(connection: Connection, database_url: str) -> None:
    add(connection, 1, b'{"event": {"orderId": 5}, "createdAt": [2026,11,1,21,0]}')
    assert "future_event_time" in dead_letters(database_url, "replay", "1").stdout
    zone = {"event_timezone": "Asia/Seoul"}
    assert dead_letters(database_url, "replay", "1", **zone).returncode == 0
    ((event_time,),) = connection.execute("SELECT event_time FROM processed_events")
    assert event_time.isoformat() == "2026-11-01T12:00:00+00:00"


@pytest.mark.usefixtures("letters")
def test_a_discarded_letter_keeps_its_first_note(
    connection: Connection, database_url: str, contents: Contents
) -> None:
    done = dead_letters(database_url, "discard", "2", "3", "--note", "테스트 주문")
    assert (done.returncode, done.stderr) == (0, "discarded: 2 of 2\n")
    assert done.stdout == "2 (orders/3/11) discarded\n3 (orders/3/12) discarded\n"
    query = "SELECT resolution_note FROM dead_letters WHERE resolution = 'discarded' ORDER BY 1"
    assert connection.execute(query).fetchall() == [("a test",), ("테스트 주문",), ("테스트 주문",)]
    before = contents()
    again = dead_letters(database_url, "discard", "2", "3", "--note", "another")
    assert again.returncode == 0
    assert contents() == before
    replayed = dead_letters(database_url, "replay", "--all")
    assert replayed.stdout == "4 (orders/3/13) replayed\n"
    too_late = dead_letters(database_url, "discard", "4", "99", "--note", "another")
    assert (too_late.returncode, too_late.stdout) == (1, "4 (orders/3/13) replayed\n")
    assert "there is no dead letter 99" in too_late.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["replay"], "either ids, or --all"),
        (["replay", "1", "--all"], "either ids, or --all"),
        (["replay", "1", "--reason", "not_json"], "either ids, or --all"),
        (["replay", "--all", "--reason", "lost"], "refused_by_database"),
        (["replay", "9223372036854775808"], "ID"),
        (["discard", "1"], "--note"),
        (["discard", "1", "--note", " "], "--note"),
        (["list", "--limit", "9223372036854775807"], "--limit"),
    ],
)
def test_a_wrong_argument_is_one_line(arguments: list[str], told: str) -> None:
    nowhere = "postgresql://nobody@127.0.0.1:1/none"
    assert_one_line(dead_letters(nowhere, *arguments), 2, told)


@pytest.mark.parametrize("arguments", [["list"], ["replay", "--all"]], ids=" ".join)
def test_what_is_wrong_with_the_database_is_one_line(
    arguments: list[str], empty_database_url: str
) -> None:
    assert_one_line(delivery("dead-letters", *arguments), 2, "DELIVERY_DATABASE_URL is not set")
    assert_one_line(dead_letters(empty_database_url, *arguments), 2, "run `delivery migrate`")
    absent = dead_letters("postgresql://nobody:secret@127.0.0.1:1/none", *arguments)
    assert_one_line(absent, 3, "PostgreSQL can't be reached")
    assert "secret" not in absent.stderr


# Many letters, and somebody who stops in the middle


def test_two_replays_of_many_letters_at_once_double_nothing(
    connection: Connection, database_url: str
) -> None:
    connection.execute(GOOD_LETTERS, (2000,))
    with psycopg.connect(database_url) as rival:
        hold_up(rival, 1)
        both = [start(database_url, "replay", "--all") for _ in range(2)]
        wait_until(lambda: waiting(connection) == 2, "both replays wait for a lock")
        rival.rollback()
    for process in both:
        _, stderr = process.communicate(timeout=60)
        assert (process.returncode, stderr) == (0, b"replayed: 2000 of 2000\n")
    assert count(connection) == (2000, 2000, 2000, 0)


def test_a_ctrl_c_leaves_what_is_committed(connection: Connection, database_url: str) -> None:
    connection.execute(GOOD_LETTERS, (1200,))
    with psycopg.connect(database_url) as rival:
        hold_up(rival, 700)  # the second transaction of the replay
        process = start(database_url, "replay", "--all")
        wait_until(lambda: waiting(connection) == 1, "the replay waits for a lock")
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=30)
        rival.rollback()
    assert (process.returncode, stderr) == (130, b"replayed: 500 of 1200\n")
    assert len(stdout.splitlines()) == 500
    assert count(connection) == (500, 500, 500, 700)
    assert dead_letters(database_url, "replay", "--all").stderr == "replayed: 700 of 700\n"


def hold_up(rival: psycopg.Connection, order_id: int) -> None:
    """Whoever creates the order's delivery waits for the rival's transaction."""
    rival.execute("INSERT INTO deliveries (order_id, event_time) VALUES (%s, now())", (order_id,))


def start(url: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command("dead-letters", *arguments),
        env=environment(database_url=url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def waiting(connection: Connection) -> int:
    """How many connections wait for somebody's lock."""
    query = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    ((number,),) = connection.execute(query)
    return int(number)


# With workers


def sent(content: bytes | None) -> Sent:
    # kafka-python sends no null value without a key.
    return Sent(0, b"key", content, round(time.time() * 1000), None)


def test_the_topic_once_more_changes_no_row_after_letters_were_repaired(
    service: Service, connection: Connection, database_url: str, contents: Contents
) -> None:
    connection.execute("ALTER TABLE deliveries ADD CONSTRAINT few CHECK (quantity < 1000)")
    good = [
        b'{"event": {"orderId": %d, "quantity": %d}, "createdAt": [2026,1,1,0,0]}' % (n, 200 * n)
        for n in range(1, 11)
    ]
    service.publish(map(sent, [*good, *(content for content, _ in BROKEN.values())]))
    broken = len(BROKEN)
    assert service.drain() == {"created": 4, "rejected": 6 + broken}
    connection.execute("ALTER TABLE deliveries DROP CONSTRAINT few")
    refused = ["--all", "--reason", "refused_by_database"]
    done = dead_letters(database_url, "replay", *refused)
    assert (done.returncode, done.stderr) == (0, "replayed: 6 of 6\n")
    dead_letters(database_url, "discard", *map(str, range(7, 12)), "--note", "tests")
    assert count(connection) == (10, 10, 6, broken - 5)
    before = contents()
    assert service.drain(kafka_group_id="another") == {"redelivered": 10 + broken}
    assert dead_letters(database_url, "replay", "--all").returncode == 1
    assert contents() == before


def test_a_worker_that_reads_the_topic_again_beside_a_replay_doubles_nothing(
    service: Service, connection: Connection, database_url: str
) -> None:
    ahead = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    early = [{"event": {"orderId": n}, "createdAt": ahead} for n in range(1, 1501)]
    service.publish(sent(json.dumps(event).encode()) for event in early)
    assert service.drain(max_rejected_in_a_row="0") == {"rejected": 1500}
    lenient = {"max_future_skew": "PT2H"}
    again = service.worker("--drain", kafka_group_id="another", batch_size="50", **lenient)
    done = dead_letters(database_url, "replay", "--all", **lenient)
    assert done.returncode == 0
    assert again.exit_code() == 0
    totals = again.totals()
    assert totals.get("created", 0) + totals.get("redelivered", 0) == 1500
    assert count(connection) == (1500, 1500, 1500, 0)
