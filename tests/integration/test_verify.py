"""Verify on what a real worker wrote: nothing is found, until somebody tampers with it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import psycopg
import pytest
import warm
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic
from kafka.structs import OffsetAndMetadata
from psycopg import sql
from publishing import publish

from delivery import cli
from delivery.embedded.kafka import KafkaServer
from delivery.embedded.postgres import PostgresServer
from delivery.postgres.database import Connection

NO_BROKER = "127.0.0.1:1"

_number = count(1)


def value(order_id: int, minute: int, **fields: Any) -> bytes:
    time = datetime(2026, 11, 1, 1, minute, tzinfo=UTC).isoformat()
    return json.dumps({"event": {"orderId": order_id, **fields}, "createdAt": time}).encode()


IN_LOCAL_TIME = b'{"event": {"orderId": 5, "quantity": 1}, "createdAt": [2026, 11, 1, 1, 0]}'

FIRST = [  # from offset 0 on
    value(1, 5),
    value(1, 7),  # updated
    value(1, 3),  # stale
    value(2, 1),
    value(2, 1),  # duplicate
    value(2, 1, quantity=9),  # conflict
    b"no JSON",
    None,
]
IN_TRANSACTION = value(3, 0)  # offset 8, then its marker
ABORTED = value(4, 0)  # offset 10, then its marker
THEN = [  # from offset 12 on; the last one is rejected, and replayed with another setting
    IN_LOCAL_TIME,
    json.dumps(
        {
            "event": {"orderId": 6},
            "createdAt": (datetime.now(UTC) + timedelta(hours=1)).isoformat(),
        }
    ).encode(),
]
AFTER_DISPATCH = value(1, 9)  # offset 14, too late
NOT_CONSUMED = value(7, 0)  # offset 15


@dataclass(frozen=True)
class Story:
    """A database with every outcome, and the topic it was made from."""

    server: str
    database: str
    environment: dict[str, str]

    @property
    def topic(self) -> str:
        return self.environment["DELIVERY_KAFKA_TOPIC"]

    @property
    def bootstrap_servers(self) -> str:
        return self.environment["DELIVERY_KAFKA_BOOTSTRAP_SERVERS"]


@dataclass(frozen=True)
class Verified:
    """What the command said."""

    code: int
    lines: list[str]
    told: str

    @property
    def found(self) -> list[tuple[str, int | None, int | None]]:
        """Kind, order and offset of each finding."""
        rows = map(json.loads, self.lines)
        return [(row["finding"], row["order_id"], row["record_offset"]) for row in rows]


Verify = Callable[..., Verified]


@pytest.fixture(scope="module")
def story(
    postgres_server: PostgresServer, kafka_server: KafkaServer, migrated_template: str
) -> Iterator[Story]:
    topic, database = "verified", "verified_story"
    make_topic(kafka_server, topic)
    with cloned(postgres_server.url, migrated_template, database) as url:
        environment = settings(kafka_server, topic, url)
        publish(kafka_server, topic, *FIRST)
        publish_in_transactions(kafka_server, topic)
        publish(kafka_server, topic, *THEN)
        run(environment, "worker", "--drain")
        run(
            environment | {"DELIVERY_MAX_FUTURE_SKEW": "PT2H"},
            *("dead-letters", "replay", "--all", "--reason", "future_event_time"),
        )
        with psycopg.connect(url) as connection:
            connection.execute("UPDATE deliveries SET status = 'dispatched' WHERE order_id = 1")
        publish(kafka_server, topic, AFTER_DISPATCH)
        run(environment, "worker", "--drain")
        publish(kafka_server, topic, NOT_CONSUMED)
        yield Story(postgres_server.url, database, environment)


@pytest.fixture
def connection(story: Story) -> Iterator[Connection]:
    """The owner's connection to a copy of the story."""
    with (
        cloned(story.server, story.database, f"verified_{next(_number)}") as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        yield connection


@pytest.fixture
def verify(
    story: Story,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Verify:
    """Runs the command on the copy. Settings are given by name; None leaves one out."""

    def verified(*arguments: str, form: str = "json", **changes: str | None) -> Verified:
        defaults: dict[str, str | None] = {"database_url": url_of(connection)}
        environment = {**story.environment, **named(**(defaults | changes))}
        for name, value in environment.items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["delivery", "verify", "--format", form, *arguments])
        code = cli.run()
        out, err = capsys.readouterr()
        return Verified(code, out.splitlines(), err)

    return verified


def test_the_story_has_every_outcome(connection: Connection) -> None:
    query = "SELECT outcome, resolution, count(*) FROM event_history GROUP BY 1, 2 ORDER BY 1"
    assert connection.execute(query).fetchall() == [
        ("conflict", None, 1),
        ("created", None, 5),
        ("duplicate", None, 1),
        ("rejected", None, 2),
        ("stale", None, 1),
        ("too_late", None, 1),
        ("updated", None, 1),
    ]
    query = "SELECT record_offset FROM dead_letters WHERE resolution = 'replayed'"
    assert connection.execute(query).fetchall() == [(13,)]


def test_what_a_worker_wrote_is_no_finding(verify: Verify) -> None:
    done = verify()
    assert (done.code, done.lines) == (0, [])
    assert "events: 8, deliveries: 5, duplicates: 2, dead letters: 3; findings: none" in done.told
    # Two markers and the record of the aborted transaction: nothing to read there.
    assert "offsets below the committed ones that are in no log: 3, all looked up" in done.told


def test_a_status_that_another_service_moved_is_no_finding(
    connection: Connection, verify: Verify
) -> None:
    connection.execute("UPDATE deliveries SET status = 'delivered', updated_at = now()")
    assert verify().code == 0


CHANGEABLE = "ALTER TABLE processed_events DISABLE TRIGGER refuse_change"

Found = list[tuple[str, int | None, int | None]]  # kind, order and offset

TAMPERED: list[tuple[str, Found]] = [
    ("DELETE FROM deliveries WHERE order_id = 2", [("missing_delivery", 2, 3)]),
    (
        "INSERT INTO deliveries (order_id, event_time) VALUES (99, 'infinity')",
        [("extra_delivery", 99, None)],
    ),
    (
        "UPDATE deliveries SET quantity = 99 WHERE order_id = 2",
        [("different_delivery", 2, 3)],
    ),
    (
        "UPDATE deliveries SET event_time = event_time - interval '1 us' WHERE order_id = 1",
        [("different_delivery", 1, 1)],
    ),
    (
        "UPDATE deliveries SET delivery_limited_at = '-infinity' WHERE order_id = 1",
        [("different_delivery", 1, 1)],
    ),
    ("DELETE FROM processed_events WHERE record_offset = 2", [("unaccounted_record", None, 2)]),
    (
        "DELETE FROM processed_events WHERE record_offset = 0",
        [("contradicted_outcome", 1, 1), ("unaccounted_record", None, 0)],
    ),
    (
        "DELETE FROM processed_events WHERE order_id = 2",
        [
            ("extra_delivery", 2, None),
            ("duplicate_of_no_event", 2, 4),
            ("duplicate_of_no_event", 2, 5),
            ("unaccounted_record", None, 3),
        ],
    ),
    (
        "UPDATE processed_events SET outcome = 'too_late' WHERE record_offset = 2",
        [("contradicted_outcome", 1, 2)],
    ),
    (
        "UPDATE processed_events SET outcome = 'too_late' WHERE record_offset = 1",
        [("different_delivery", 1, 0)],
    ),
    (
        "UPDATE processed_events SET consumed_at = 'infinity' WHERE record_offset = 0",
        [
            ("contradicted_outcome", 1, 1),
            ("contradicted_outcome", 1, 0),
            ("different_delivery", 1, 0),
        ],
    ),
    (
        "UPDATE processed_events SET payload = replace(payload::text, '1}', '2}')::json "
        "WHERE record_offset = 12",
        [("different_delivery", 5, 12)],
    ),
    (
        "UPDATE processed_events SET payload = replace(payload::text, ':03:', ':02:')::json "
        "WHERE record_offset = 2",
        [("payload_of_another_key", 1, 2)],
    ),
    (
        "UPDATE processed_events SET payload = '{}' WHERE record_offset = 14",
        [("undecodable_payload", 1, 14)],
    ),
    (
        "UPDATE duplicate_events SET payload = '{}' WHERE record_offset = 5",
        [("undecodable_payload", 2, 5)],
    ),
    (
        "UPDATE processed_events SET event_time = '-infinity' WHERE record_offset = 2",
        [("payload_of_another_key", 1, 2)],
    ),
    (
        "UPDATE processed_events SET order_id = 98 WHERE record_offset = 3",
        [
            ("payload_of_another_key", 98, 3),
            ("missing_delivery", 98, 3),
            ("extra_delivery", 2, None),
            ("duplicate_of_no_event", 2, 4),
            ("duplicate_of_no_event", 2, 5),
        ],
    ),
    (
        "UPDATE processed_events SET record_offset = 3 WHERE record_offset = 12",
        [("coordinates_twice", 2, 3), ("unaccounted_record", None, 12)],
    ),
    (
        "UPDATE duplicate_events SET record_offset = 6 WHERE record_offset = 4",
        [("unaccounted_record", None, 4), ("coordinates_twice", 2, 6)],
    ),
    (
        "UPDATE duplicate_events SET event_time = now() WHERE record_offset = 4",
        [("duplicate_of_no_event", 2, 4)],
    ),
    ("DELETE FROM duplicate_events WHERE record_offset = 4", [("unaccounted_record", None, 4)]),
    ("DELETE FROM dead_letters WHERE record_offset = 6", [("unaccounted_record", None, 6)]),
    (
        "UPDATE dead_letters SET resolution = 'replayed', resolved_at = now() "
        "WHERE record_offset = 7",
        [("replayed_nowhere", None, 7)],
    ),
    (
        "DELETE FROM processed_events WHERE record_offset = 13",
        [("extra_delivery", 6, None), ("replayed_nowhere", None, 13)],
    ),
    (
        "DELETE FROM processed_events WHERE record_offset = 14",
        [("unaccounted_record", None, 14)],
    ),
]


@pytest.mark.parametrize(("tamper", "found"), TAMPERED)
def test_tampering_is_found(
    connection: Connection,
    verify: Verify,
    tamper: str,
    found: Found,
) -> None:
    connection.execute(CHANGEABLE)
    assert connection.execute(tamper.encode()).rowcount == 1
    done = verify()
    assert (done.code, done.found) == (1, found)


UNLOGGED = [("extra_delivery", 99, None), ("extra_delivery", 2, None), ("extra_delivery", 6, None)]


@pytest.mark.parametrize(("tamper", "found"), TAMPERED)
def test_tampering_with_what_arrived_since_then_is_found_but_for_deliveries_of_no_event(
    connection: Connection, verify: Verify, tamper: str, found: Found
) -> None:
    connection.execute(CHANGEABLE)
    connection.execute(tamper.encode())
    done = verify("--since", "1d")
    assert done.found == [finding for finding in found if finding not in UNLOGGED]


def test_since_a_time_counts_and_compares_what_arrived_since_then(
    connection: Connection, verify: Verify
) -> None:
    grown_old(connection, "record_offset < 12")
    done = verify("--since", "1d")
    assert (done.code, done.lines) == (0, [])
    # The order of offset 14 is checked whole: its four events, of which three are old.
    assert "events: 6, deliveries: 3, duplicates: 0, dead letters: 1; findings: none" in done.told


def test_an_order_without_an_event_since_then_is_left_to_the_full_check(
    connection: Connection, verify: Verify
) -> None:
    grown_old(connection, "record_offset < 12")
    connection.execute("UPDATE deliveries SET quantity = 99 WHERE order_id = 2")
    assert verify("--since", "1d").found == []
    assert verify().found == [("different_delivery", 2, 3)]


def test_an_old_event_of_an_order_with_a_newer_one_is_checked(
    connection: Connection, verify: Verify
) -> None:
    grown_old(connection, "record_offset < 12")
    connection.execute("UPDATE processed_events SET payload = '{}' WHERE record_offset = 0")
    assert verify("--since", "1d").found == [("undecodable_payload", 1, 0)]


def test_a_record_that_was_lost_right_before_that_time_is_found(
    connection: Connection, verify: Verify
) -> None:
    grown_old(connection, "record_offset < 12")
    connection.execute("DELETE FROM processed_events WHERE record_offset = 3")
    assert ("unaccounted_record", None, 3) in verify("--since", "1d").found


def test_a_record_that_is_in_the_logs_before_and_since_that_time_is_found(
    connection: Connection, verify: Verify
) -> None:
    grown_old(connection, "record_offset < 12")
    connection.execute("UPDATE duplicate_events SET record_offset = 14 WHERE record_offset = 4")
    connection.execute("DELETE FROM duplicate_events WHERE record_offset = 5")
    assert ("coordinates_twice", 1, 14) in verify("--since", "1d").found


def test_offsets_that_were_committed_without_a_row_since_then_are_found(
    story: Story, connection: Connection, verify: Verify
) -> None:
    grown_old(connection, "true")
    commit(story, "nothing-written", 16)
    done = verify("--since", "1d", kafka_group_id="nothing-written")
    assert done.found == [("unaccounted_record", None, 15)]


@pytest.mark.parametrize("time", ["someday", "2026-13-01", ""])
def test_a_time_that_is_none_is_said(verify: Verify, time: str) -> None:
    done = verify("--since", time)
    assert done.code == 2
    assert "is neither a time such as" in done.told


def grown_old(connection: Connection, rows: str) -> None:
    """Makes these rows arrive two days earlier, in all logs."""
    connection.execute(CHANGEABLE)
    for log in ("processed_events", "duplicate_events", "dead_letters"):
        update = f"UPDATE {log} SET consumed_at = consumed_at - interval '2 days' WHERE {rows}"
        connection.execute(update.encode())


def test_an_offset_that_was_committed_too_far_is_found(story: Story, verify: Verify) -> None:
    commit(story, "too-far", 16)
    done = verify(kafka_group_id="too-far")
    assert (done.code, done.found) == (1, [("unaccounted_record", None, 15)])


def test_an_offset_beyond_the_end_of_the_topic_is_cut(story: Story, verify: Verify) -> None:
    commit(story, "beyond", 1000)
    done = verify(kafka_group_id="beyond")
    assert (done.code, done.found) == (1, [("unaccounted_record", None, 15)])


def test_a_group_that_committed_nothing_proves_nothing(verify: Verify) -> None:
    done = verify(kafka_group_id="unknown")
    assert (done.code, done.lines) == (2, [])
    assert "of which group unknown has committed no offset" in done.told
    assert "check DELIVERY_KAFKA_GROUP_ID" in done.told


IMPORTED = """
INSERT INTO processed_events (order_id, event_time, outcome, payload, record_topic,
                              record_partition, record_offset, record_time)
VALUES (1, '2026-11-01Z', 'created',
        '{"event": {"orderId": 1}, "createdAt": "2026-11-01T00:00:00Z"}', 'import:file', 0, 1,
        now());
INSERT INTO deliveries (order_id, event_time) VALUES (1, '2026-11-01Z')
"""


def test_a_group_that_committed_nothing_yet_is_reported(
    story: Story, verify: Verify, migrated_template: str
) -> None:
    with cloned(story.server, migrated_template, "verified_unread") as url:
        done = verify(database_url=url, kafka_group_id="unknown")
        assert done.code == 0
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(IMPORTED)
        done = verify(database_url=url, kafka_group_id="unknown")
    assert done.code == 0
    assert "group unknown has committed no offset" in done.told


def test_a_database_that_is_not_there_is_no_reason_to_leave_kafka_alone(verify: Verify) -> None:
    done = verify(database_url="postgresql://postgres@127.0.0.1:1/delivery")
    assert done.code == 3
    assert "PostgreSQL can't be reached" in done.told
    assert "--database-only" not in done.told


def test_what_retention_deleted_is_counted_and_no_finding(
    story: Story, connection: Connection, verify: Verify, kafka_server: KafkaServer
) -> None:
    topic = "verified-retention"
    make_topic(kafka_server, topic)
    publish(kafka_server, topic, *[b"1"] * 9)
    commit(story, "retention", 8, topic)
    admin = KafkaAdminClient(bootstrap_servers=kafka_server.bootstrap_servers)
    admin.delete_records({TopicPartition(topic, 0): 6})
    admin.close()
    connection.execute(
        "INSERT INTO dead_letters (record_topic, record_partition, record_offset, record_headers,"
        " reason, error) SELECT %s, 0, n, '[]', 'not_json', '' FROM unnest('{2, 7}'::int[]) AS n",
        (topic,),
    )
    done = verify(kafka_topic=topic, kafka_group_id="retention")
    assert (done.code, done.found) == (1, [("unaccounted_record", None, 6)])
    assert "lost to retention before this check and so not verifiable: 5" in done.told


def test_many_gaps_close_together_and_far_apart_are_looked_up(
    story: Story, connection: Connection, verify: Verify, kafka_server: KafkaServer
) -> None:
    topic = "verified-gaps"
    make_topic(kafka_server, topic)
    publish(kafka_server, topic, *[b"1"] * 30_000)
    commit(story, "gaps", 30_000, topic)
    lost = [0, 2, 4, 5, 499, 500, 1999, 2000, 2001, 15_000, 25_001, 29_999]
    connection.execute(
        "INSERT INTO dead_letters (record_topic, record_partition, record_offset, record_headers,"
        " reason, error) SELECT %s, 0, n, '[]', 'not_json', '' FROM generate_series(0, 29999) AS n"
        " WHERE n <> ALL (%s)",
        (topic, lost),
    )
    done = verify(kafka_topic=topic, kafka_group_id="gaps")
    assert done.found == [("unaccounted_record", None, offset) for offset in lost]


def test_another_event_timezone_is_reported_as_the_likely_cause(verify: Verify) -> None:
    done = verify(event_timezone="Asia/Seoul")
    assert done.found == [("payload_of_another_key", 5, 12)]
    assert "DELIVERY_EVENT_TIMEZONE" in json.loads(done.lines[0])["detail"]


def test_a_finding_for_people_is_a_line_that_begins_with_its_kind(
    connection: Connection, verify: Verify
) -> None:
    connection.execute("UPDATE deliveries SET quantity = 77 WHERE order_id = 2")
    done = verify(form="text")
    assert done.lines == [
        "different_delivery order 2, event of 2026-11-01T01:01:00+00:00, record verified/0/3: "
        "quantity not as this event says, which shaped the delivery last"
    ]
    assert done.told.count("findings: 1") == 1
    (row,) = map(json.loads, verify().lines)
    assert row["columns"] == ["quantity"]
    assert row["event_time"] == "2026-11-01T01:01:00+00:00"
    assert (row["record_topic"], row["record_partition"]) == ("verified", 0)


def test_without_kafkas_settings_the_database_alone_is_checked(
    connection: Connection, verify: Verify
) -> None:
    connection.execute("DELETE FROM duplicate_events WHERE record_offset = 4")
    done = verify(kafka_bootstrap_servers=None)
    assert (done.code, done.lines) == (0, [])
    assert "the topic is not checked: DELIVERY_KAFKA_BOOTSTRAP_SERVERS is not set" in done.told
    assert verify("--database-only").code == 0
    assert verify().code == 1


def test_a_kafka_that_is_not_there_ends_with_3_unless_it_is_not_asked(story: Story) -> None:
    def verify(*arguments: str) -> Verified:
        # A process of its own: kafka-python leaves the sockets open that reach nobody.
        command = [sys.executable, "-m", "delivery", "verify", *arguments]
        environment = story.environment | named(kafka_bootstrap_servers=NO_BROKER)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return Verified(done.returncode, done.stdout.splitlines(), done.stderr)

    done = verify()
    assert (done.code, done.lines) == (3, [])
    assert done.told.count("\n") == 1
    assert f"Kafka can't be reached at {NO_BROKER}" in done.told
    assert "--database-only" in done.told
    assert verify("--database-only").code == 0


def test_a_wrong_setting_of_kafka_is_not_taken_for_a_missing_one(verify: Verify) -> None:
    done = verify(kafka_topic="no topic")
    assert (done.code, done.lines) == (2, [])
    assert "DELIVERY_KAFKA_TOPIC" in done.told


def test_an_empty_database_is_no_finding(
    story: Story, verify: Verify, migrated_template: str
) -> None:
    with cloned(story.server, migrated_template, "verified_empty") as url:
        done = verify(database_url=url, kafka_bootstrap_servers=None)
    assert (done.code, done.lines) == (0, [])
    assert "nothing to verify yet" in done.told


def test_a_worker_that_runs_meanwhile_makes_no_finding(
    story: Story, verify: Verify, kafka_server: KafkaServer, migrated_template: str
) -> None:
    topic = "verified-running"
    make_topic(kafka_server, topic, partitions=2)
    contents = [value(1 + n % 700, n % 60, quantity=n) for n in range(3000)]
    publish(kafka_server, topic, *contents)
    with cloned(story.server, migrated_template, "verified_running") as url:
        environment = settings(kafka_server, topic, url) | {"DELIVERY_BATCH_SIZE": "20"}
        worker = [sys.executable, "-m", "delivery", "worker", "--drain"]
        with subprocess.Popen(worker, env=environment, stderr=subprocess.DEVNULL) as process:
            beside = 0
            while process.poll() is None:
                done = verify(database_url=url, kafka_topic=topic)
                assert (done.code, done.lines) == (0, [])
                beside += "committed no offset" not in done.told
            assert process.returncode == 0
        assert beside >= 2  # it has seen the worker at work
        done = verify(database_url=url, kafka_topic=topic)
        assert (done.code, done.lines) == (0, [])


# Prints its exit code and its own peak of memory in bytes (see test_history) after the check.
VERIFY = """
import os, sys
from benchmarks.processes import peak_memory
from delivery import cli
sys.argv = ["delivery", "verify", "--database-only"]
code = cli.run()
print(code, peak_memory(os.getpid()))
"""
MANY = """
INSERT INTO processed_events (order_id, event_time, outcome, payload, record_topic,
                              record_partition, record_offset, consumed_at)
SELECT 1000 + n / %(each)s, at, CASE WHEN n %% %(each)s = 0 THEN 'created' ELSE 'too_late' END,
       json_build_object('event', json_build_object('orderId', 1000 + n / %(each)s),
                         'createdAt', at, 'note', repeat('x', 300)), 'many', 0, n, at
FROM (SELECT n, timestamptz '2026-11-01Z' + n * interval '1 s' AS at
      FROM generate_series(0, %(rows)s - 1) AS n) AS many
"""
SHAPED = """
INSERT INTO deliveries (order_id, event_time)
SELECT order_id, event_time FROM processed_events WHERE outcome = 'created' AND order_id >= 1000
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a peak")
def test_memory_grows_neither_with_the_log_nor_with_an_order(
    story: Story, connection: Connection
) -> None:
    def peak() -> int:
        environment = story.environment | named(database_url=url_of(connection))
        done = subprocess.run(
            [sys.executable, "-c", VERIFY], env=environment, capture_output=True, check=True
        )
        code, peak = map(int, done.stdout.split())
        assert code == 0, done.stderr
        return peak

    little = peak()
    connection.execute("SET TIME ZONE 'UTC'")
    connection.execute(MANY, {"rows": 60_000, "each": 30_000})
    connection.execute(SHAPED)
    assert peak() < little * 1.2  # all rows at once would be 40 MB more


def named(**values: str | None) -> dict[str, Any]:
    return {f"DELIVERY_{name.upper()}": value for name, value in values.items()}


def settings(server: KafkaServer, topic: str, url: str) -> dict[str, str]:
    clean = {name: text for name, text in os.environ.items() if not name.startswith("DELIVERY_")}
    return clean | named(
        database_url=url,
        kafka_bootstrap_servers=server.bootstrap_servers,
        kafka_topic=topic,
        kafka_group_id="group-delivery",
        event_timezone="UTC",
        log_level="WARNING",
    )


def run(environment: dict[str, str], *arguments: str) -> None:
    done = warm.run(*arguments, environment=environment)
    assert done.returncode == 0, done.stderr


@contextmanager
def cloned(server: str, template: str, name: str) -> Iterator[str]:
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
    drop = sql.SQL("DROP DATABASE {} WITH (FORCE)")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
        yield f"{server.rpartition('/')[0]}/{name}"
        connection.execute(drop.format(sql.Identifier(name)))


def url_of(connection: Connection) -> str:
    info = connection.info
    return f"postgresql://{info.user}@{info.host}:{info.port}/{info.dbname}"


def make_topic(server: KafkaServer, name: str, partitions: int = 1) -> None:
    admin = KafkaAdminClient(bootstrap_servers=server.bootstrap_servers)
    try:
        admin.create_topics([NewTopic(name, partitions, 1)])
    finally:
        admin.close()


def publish_in_transactions(server: KafkaServer, topic: str) -> None:
    producer = KafkaProducer(bootstrap_servers=server.bootstrap_servers, transactional_id="verify")
    producer.init_transactions()
    for content, end in (
        (IN_TRANSACTION, producer.commit_transaction),
        (ABORTED, producer.abort_transaction),
    ):
        producer.begin_transaction()
        producer.send(topic, content)
        producer.flush()
        end()
    producer.close()


def commit(story: Story, group: str, offset: int, topic: str | None = None) -> None:
    partition = TopicPartition(topic or story.topic, 0)
    consumer = KafkaConsumer(
        bootstrap_servers=story.bootstrap_servers, group_id=group, enable_auto_commit=False
    )
    consumer.assign([partition])
    consumer.commit({partition: OffsetAndMetadata(offset, "", -1)})
    consumer.close(autocommit=False)
