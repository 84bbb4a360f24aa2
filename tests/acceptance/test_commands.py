"""The commands as people run them: real processes, exit codes, stdout and stderr."""

import csv
import gzip
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import processes
import pytest
import warm
from kafka import KafkaConsumer
from warm import Done

from delivery.domain.vocabulary import OUTCOMES
from delivery.embedded.kafka import KafkaServer
from delivery.embedded.processes import pids_in
from delivery.history import COLUMNS
from delivery.postgres.database import Connection

COMMANDS = ["history", "stats", "publish", "schema", "dev"]
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
# Line breaks, a number's form, a key twice, an escape and a comma: all of it is kept.
PAYLOAD = '{"event":\r\n {"orderId": 1, "price": 1.00, "a": "\\n", "a": "문, 앞"}}'

ENTRY = """
INSERT INTO processed_events (order_id, event_time, outcome, payload, record_topic,
                              record_partition, record_offset, consumed_at)
VALUES (%s, %s, 'created', %s, 'orders', 0, %s, %s)
"""
LETTER = """
INSERT INTO dead_letters (record_topic, record_partition, record_offset, record_headers, reason,
                          error, consumed_at)
VALUES ('orders', 0, 99, '[]', 'not_json', 'an "error"', now())
"""
MANY = """
INSERT INTO processed_events (order_id, event_time, outcome, payload, record_topic,
                              record_partition, record_offset, consumed_at)
SELECT n, now(), 'created', '{"event": 1}', 'orders', 0, n, now() FROM generate_series(1, %s) AS n
"""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "delivery", *arguments]


def environment(**settings: str) -> dict[str, str]:
    return processes.environment(settings)


def delivery(*arguments: str, stdin: bytes = b"", **settings: str) -> Done:
    done = warm.run(*arguments, environment=environment(**settings), stdin=stdin, timeout=60)
    assert "Traceback" not in done.stderr
    return done


def assert_one_line(done: Done, code: int, *told: str) -> None:
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("delivery: ")
    assert done.stderr.count("\n") == 1
    for text in told:
        assert text in done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself_with_an_example(name: str) -> None:
    done = delivery(name, "--help")
    assert done.returncode == 0
    assert re.search(rf"Examples?.*\n +delivery {name}", done.stdout)
    assert name in delivery("--help").stdout


# history


def add_event(connection: Connection, number: int = 1, payload: str = PAYLOAD) -> None:
    connection.execute(ENTRY, (number, NOW, payload, number, NOW))


def test_json_embeds_the_payload_as_it_was_sent_on_one_line(
    connection: Connection, database_url: str
) -> None:
    add_event(connection)
    connection.execute(LETTER)
    done = delivery("history", "--format", "json", database_url=database_url)
    assert (done.returncode, done.stderr) == (0, "")
    event, letter = done.stdout.removesuffix("\n").split("\n")
    assert '"price": 1.00, "a": "\\n", "a": "문, 앞"' in event
    assert tuple(json.loads(event)) == COLUMNS
    assert json.loads(event)["payload"]["event"]["orderId"] == 1
    assert json.loads(event)["consumed_at"] == "2026-11-01T12:00:00+00:00"
    assert json.loads(letter)["payload"] is None
    assert json.loads(letter)["error"] == 'an "error"'


def test_csv_has_a_header_and_the_payload_as_text(
    connection: Connection, database_url: str
) -> None:
    add_event(connection)
    done = delivery("history", "--format", "csv", database_url=database_url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("\r\n")
    header, row = csv.reader(io.StringIO(done.stdout, newline=""))
    assert tuple(header) == COLUMNS
    assert row[COLUMNS.index("payload")] == PAYLOAD
    assert row[COLUMNS.index("consumed_at")] == "2026-11-01T12:00:00+00:00"


def test_a_table_shows_no_payload_and_breaks_no_line(
    connection: Connection, database_url: str
) -> None:
    add_event(connection)
    connection.execute(LETTER)
    done = delivery("history", database_url=database_url)
    assert (done.returncode, done.stderr) == (0, "")
    header, event, letter = done.stdout.splitlines()
    assert header.split() == [
        "consumed_at", "(UTC)", "outcome", "order_id", "event_time", "(UTC)", "record", "reason",
        "dead_letter_id",
    ]  # fmt: skip
    assert event.split() == [
        "2026-11-01", "12:00:00", "created", "1", "2026-11-01", "12:00:00", "orders/0/1",
    ]  # fmt: skip
    assert letter.split()[2:] == ["rejected", "orders/0/99", "not_json", "1"]


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_nothing_found_is_said_on_stderr(database_url: str, form: str) -> None:
    done = delivery("history", "42", "--format", form, database_url=database_url)
    assert (done.returncode, done.stderr) == (0, "no events match\n")
    assert done.stdout == ("" if form != "csv" else ",".join(COLUMNS) + "\r\n")


def test_a_table_is_limited_and_says_so(connection: Connection, database_url: str) -> None:
    connection.execute(MANY, (101,))
    done = delivery("history", database_url=database_url)
    assert len(done.stdout.splitlines()) == 1 + 100
    assert done.stdout.splitlines()[1].split()[-1] == "orders/0/2"
    assert "newest 100" in done.stderr
    assert delivery("history", "--limit", "101", database_url=database_url).stderr == ""
    unlimited = delivery("history", "--format", "json", database_url=database_url)
    assert len(unlimited.stdout.splitlines()) == 101


def test_filters_reach_the_query(connection: Connection, database_url: str) -> None:
    for number in (1, 2):
        add_event(connection, number)
    connection.execute(LETTER)

    def places(*arguments: str) -> list[int]:
        done = delivery("history", "--format", "json", *arguments, database_url=database_url)
        return [json.loads(line)["record_offset"] for line in done.stdout.splitlines()]

    assert places("2") == [2]
    assert places("--record", "orders/0/1") == [1]
    assert places("--outcome", "rejected") == [99]
    assert places("--outcome", "rejected", "--outcome", "created") == [1, 2, 99]
    assert places("--since", "15m") == [99]
    assert places("--until", "2026-11-01T12:00:01") == [1, 2]
    assert places("--since", "2026-11-01T21:00+09:00", "--until", "15m") == [1, 2]
    assert places("--limit", "2") == [2, 99]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--outcome", "lost"], ", ".join(repr(str(outcome)) for outcome in OUTCOMES)),
        (["--since", "someday"], "'someday' is neither a time"),
        (["--until", "999999999w"], "'999999999w' is neither a time"),
        (["--record", "orders/0"], "TOPIC/PARTITION/OFFSET"),
        (["--record", "orders/2147483648/0"], "TOPIC/PARTITION/OFFSET"),
        (["--record", "orders/0/9223372036854775808"], "TOPIC/PARTITION/OFFSET"),
        (["--limit", "0"], "--limit"),
        (["--format", "xml"], "xml"),
        (["0"], "ORDER_ID"),
        (["9223372036854775808"], "ORDER_ID"),
        (["first"], "ORDER_ID"),
    ],
)
def test_a_wrong_argument_is_one_line(arguments: list[str], told: str) -> None:
    nowhere = "postgresql://nobody@127.0.0.1:1/none"
    assert_one_line(delivery("history", *arguments, database_url=nowhere), 2, told)


@pytest.mark.parametrize("name", ["history", "stats"])
def test_what_is_wrong_with_the_database_is_one_line(name: str, empty_database_url: str) -> None:
    assert_one_line(delivery(name), 2, "DELIVERY_DATABASE_URL is not set")
    unmigrated = delivery(name, database_url=empty_database_url)
    assert_one_line(unmigrated, 2, "run `delivery migrate`")
    absent = delivery(name, database_url="postgresql://nobody:secret@127.0.0.1:1/none")
    assert_one_line(absent, 3, "PostgreSQL can't be reached")
    assert "secret" not in absent.stderr


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_a_reader_who_has_seen_enough_is_no_error(
    connection: Connection, database_url: str, form: str
) -> None:
    connection.execute(MANY, (3000,))
    with subprocess.Popen(
        command("history", "--limit", "3000", "--format", form),
        env=environment(database_url=database_url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=30) == 0


# stats and schema


def test_stats_are_one_object_for_a_script(connection: Connection, database_url: str) -> None:
    add_event(connection)
    connection.execute(LETTER)
    done = delivery("stats", "--format", "json", database_url=database_url)
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
    counted = json.loads(done.stdout)
    assert counted["outcomes"]["created"] == 1
    assert counted["outcomes"]["conflict"] == 0
    assert counted["deliveries"]["pending"] == 0
    assert counted["dead_letters"]["open"] == 1
    assert counted["dead_letters"]["by_reason"]["not_json"] == 1
    assert counted["first_consumed_at"] == "2026-11-01T12:00:00+00:00"


def test_stats_for_people_name_every_outcome(connection: Connection, database_url: str) -> None:
    add_event(connection)
    done = delivery("stats", database_url=database_url)
    assert (done.returncode, done.stderr) == (0, "")
    for outcome in OUTCOMES:
        count = 1 if outcome == "created" else 0
        assert re.search(rf"^{outcome} +{count}$", done.stdout, re.MULTILINE)


def test_stats_of_an_empty_log_give_a_hint(database_url: str) -> None:
    done = delivery("stats", "--format", "json", database_url=database_url)
    assert json.loads(done.stdout)["last_consumed_at"] is None
    assert done.stderr.startswith("the log is empty")


def test_schema_needs_no_setting() -> None:
    done = delivery("schema")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["required"] == ["event", "createdAt"]


# publish


def published(server: KafkaServer, topic: str, count: int) -> list[tuple[bytes | None, bytes]]:
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=server.bootstrap_servers,
        auto_offset_reset="earliest",
        consumer_timeout_ms=20_000,
    )
    try:
        return [(record.key, record.value) for record in islice(consumer, count)]
    finally:
        consumer.close()


def publish(server: KafkaServer, topic: str, *arguments: str, stdin: bytes = b"") -> Done:
    return delivery(
        "publish",
        *arguments,
        stdin=stdin,
        kafka_bootstrap_servers=server.bootstrap_servers,
        kafka_topic=topic,
    )


def test_each_line_is_published_as_it_is(
    kafka_server: KafkaServer, make_topic: Callable[[int], str], tmp_path: Path
) -> None:
    topic = make_topic(1)
    lines = [b'{"event": {"orderId": 7}}', b"no JSON", b"\xff\xfe", b'  {"a":1} ']
    file = tmp_path / "orders"
    file.write_bytes(b"\n".join([lines[0], b"", lines[1] + b"\r", b"  ", *lines[2:]]))
    done = publish(kafka_server, topic, str(file))
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"records published to topic {topic}: 4, blank lines skipped: 2\n"
    assert published(kafka_server, topic, 4) == [(None, line) for line in lines]


def test_a_topic_that_is_not_there_is_not_made(kafka_server: KafkaServer) -> None:
    for _ in range(2):
        done = publish(kafka_server, "nobody-made-it", "-", stdin=b"1\n")
        assert_one_line(done, 2, "Kafka has no topic nobody-made-it", "create the topic")
    consumer = KafkaConsumer(bootstrap_servers=kafka_server.bootstrap_servers)
    assert "nobody-made-it" not in consumer.topics()
    consumer.close()


def test_an_orders_id_is_the_key_where_it_can_be_read(
    kafka_server: KafkaServer, make_topic: Callable[[int], str]
) -> None:
    topic = make_topic(1)
    lines = [b'{"event": {"orderId": 7}}', b'{"event": {"orderId": true}}', b"[", b"[1]", b"{}"]
    done = publish(kafka_server, topic, "-", "--key-by-order", stdin=b"\n".join(lines))
    assert done.returncode == 0
    keys = [b"7", None, None, None, None]
    assert published(kafka_server, topic, 5) == list(zip(keys, lines, strict=True))


def test_a_file_that_has_no_lines_is_named_before_kafka_is_asked() -> None:
    nowhere = "127.0.0.1:1"
    done = delivery("publish", "-", stdin=gzip.compress(b"{}\n"), kafka_bootstrap_servers=nowhere)
    assert_one_line(done, 2, "standard input is gzip", "zcat | delivery publish -")


def test_a_line_that_is_too_large_is_named_and_keeps_no_other_from_being_published(
    kafka_server: KafkaServer, make_topic: Callable[[int], str]
) -> None:
    topic = make_topic(1)
    # The last one is the largest that fits; bytes that can't be compressed are the worst case.
    fits = os.urandom(1_048_588 - 200 - 1048).replace(b"\n", b" ").replace(b"\r", b" ")
    stdin = b"\n".join([b"one", b"x" * 1_048_588, b"two", fits + b"x", fits])
    done = publish(kafka_server, topic, "-", stdin=stdin)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"records published to topic {topic}: 3, larger than the topic takes: 2 (line 2, 4)\n"
    )
    assert [value for _, value in published(kafka_server, topic, 3)] == [b"one", b"two", fits]


def test_what_is_wrong_with_kafka_or_the_file_is_one_line(
    kafka_server: KafkaServer, tmp_path: Path
) -> None:
    nowhere = {"kafka_bootstrap_servers": "127.0.0.1:1"}
    absent = delivery("publish", str(tmp_path / "absent"), **nowhere)
    assert_one_line(absent, 2, "absent")
    assert_one_line(delivery("publish", "-"), 2, "DELIVERY_KAFKA_BOOTSTRAP_SERVERS is not set")
    unreachable = delivery("publish", "-", stdin=b"1\n", **nowhere)
    assert_one_line(unreachable, 3, "Kafka can't be reached at 127.0.0.1:1")


def test_a_ctrl_c_tells_what_was_published(
    kafka_server: KafkaServer, make_topic: Callable[[int], str]
) -> None:
    topic = make_topic(1)
    with subprocess.Popen(
        command("publish", "-"),
        env=environment(kafka_bootstrap_servers=kafka_server.bootstrap_servers, kafka_topic=topic),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin
        assert process.stderr
        process.stdin.write(b"1\n2\n")
        process.stdin.flush()
        assert len(published(kafka_server, topic, 2)) == 2  # sent without waiting for more lines
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        told = process.stderr.read().decode()
        assert told == f"interrupted: records published to topic {topic}: 2\n"


# dev


@pytest.mark.kafka
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_dev_runs_both_servers_until_it_is_stopped(tmp_path: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        command("dev", "--data", str(tmp_path)),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stderr
        lines = [process.stdout.readline() for _ in range(2)]
        exported = "".join(lines) + 'exec "$0" -m delivery stats --format json'
        done = subprocess.run(
            ["sh", "-c", exported, sys.executable],
            env=environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(done.stdout)["outcomes"]["created"] == 0  # migrated
        process.send_signal(number)
        assert process.wait(timeout=60) == 0
        assert "Ctrl-C stops them" in process.stderr.read()
    assert pids_in(tmp_path / "postgres" / "data", "postgres") == []
    assert pids_in(tmp_path / "kafka", "java") == []


def test_dev_in_a_folder_that_can_not_be_used_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "kafka").touch()
    done = delivery("dev", "--data", str(tmp_path))
    *progress, error = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (3, "")
    assert error.startswith("delivery: ")
    assert "can't run in" in error
    assert [line.split()[0] for line in progress] == ["starting", "PostgreSQL"]
