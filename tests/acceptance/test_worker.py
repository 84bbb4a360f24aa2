"""`delivery worker` as it is run, against streams whose truth is known."""

import re
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from zoneinfo import ZoneInfo

from broken import BROKEN
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic
from processes import Process, end_all, wait_until
from psycopg import sql
from service import Service
from stream import Sent, places, stream, truth
from tables import (
    accounted,
    assert_dead_letters,
    assert_whatever_the_order,
    deliveries,
    ends,
    outcomes,
)

Contents = Callable[[], dict[str, list[str]]]
MakeService = Callable[[int], Service]

NOWHERE = "127.0.0.1:1"


def assert_true(service: Service, sent: list[Sent]) -> None:
    """Each record has the outcome, and each order the delivery, that the truth says."""
    told = truth(sent)
    assert outcomes(service.connection) == told.outcomes
    assert deliveries(service.connection) == told.deliveries
    assert_dead_letters(service.connection, sent)


def test_a_stream_on_one_partition_becomes_what_the_truth_says(service: Service) -> None:
    seoul = ZoneInfo("Asia/Seoul")
    sent = stream(1, 8000, zone=seoul)
    service.publish(sent)
    totals = service.drain(event_timezone="Asia/Seoul")
    assert_true(service, sent)
    assert totals == Counter(truth(sent).outcomes.values())
    assert len(totals) == 6  # the stream had all that a single worker can meet
    assert service.committed() == {0: 8000}


def test_headers_are_kept_as_the_producer_sent_them_and_nothing_where_it_sent_none(
    service: Service,
) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = [("traceparent", trace.encode()), ("누구", "김".encode()), ("bytes", b"\xff")]
    with closing(KafkaProducer(bootstrap_servers=service.bootstrap_servers)) as producer:
        for order, sent in ((1, headers), (2, [])):
            event = b'{"event": {"orderId": %d}, "createdAt": [2026,1,1,0,0]}' % order
            producer.send(service.topic, event, headers=sent, partition=0)
        producer.flush()
    assert service.drain() == {"created": 2}
    kept = "SELECT record_headers FROM event_history ORDER BY order_id"
    assert service.connection.execute(kept).fetchall() == [
        (
            [
                {"key": "traceparent", "value": trace},
                {"key": "누구", "value": "김"},
                {"key": "bytes", "value_hex": "ff"},
            ],
        ),
        (None,),
    ]


def test_batches_of_one_record_commit_every_offset(service: Service) -> None:
    """Faster than Kafka answers: kafka-python fails what is more than five commits at once."""
    service.publish(stream(5, 600))
    drained = service.worker("--drain", batch_size="1")
    assert drained.exit_code() == 0
    assert "not committed" not in drained.stderr()
    assert service.committed() == {0: 600}


def test_a_topic_read_again_by_a_new_group_changes_no_row(
    make_service: MakeService, contents: Contents
) -> None:
    service = make_service(2)
    sent = stream(2, 3000, partitions=2, keyed=True)
    service.publish(sent)
    service.drain()
    before = contents()
    assert service.drain(kafka_group_id="another", batch_size="701") == {"redelivered": 3000}
    assert contents() == before
    assert_true(service, sent)


def test_keyed_records_on_two_workers_become_what_the_truth_says(make_service: MakeService) -> None:
    service = make_service(4)
    sent = stream(3, 6000, partitions=4, keyed=True)
    both = [service.worker(batch_size="200") for _ in range(2)]
    service.wait_for_members(2)
    service.publish(sent)
    service.wait_until_accounted(6000)
    assert end_all(both) == [0, 0]
    assert all(worker.totals()["created"] > 1000 for worker in both)
    assert_true(service, sent)
    assert service.committed() == ends(service.connection)


def test_workers_that_read_an_order_from_several_partitions_make_one_delivery_of_it(
    make_service: MakeService,
) -> None:
    """Also while a third one joins and leaves."""
    service = make_service(4)
    sent = stream(4, 12000, partitions=4)
    both = [service.worker(batch_size="100") for _ in range(2)]
    service.wait_for_members(2)
    service.publish(sent[:6000])
    third = service.worker(batch_size="100")
    service.wait_for_members(3)
    service.publish(sent[6000:])
    service.wait_until_accounted(7000)
    assert third.end() == 0
    service.wait_until_accounted(12000)
    assert end_all(both) == [0, 0]
    assert all(worker.totals()["created"] > 100 for worker in [third, *both])
    assert_whatever_the_order(service.connection, sent)
    assert service.committed() == ends(service.connection)


def test_a_drain_of_an_empty_topic_ends_at_once(service: Service) -> None:
    drained = service.worker("--drain")
    assert drained.exit_code(seconds=30) == 0
    assert drained.totals() == {}


def test_a_drain_ends_behind_the_marker_of_a_transaction(service: Service) -> None:
    """Aborted records are none."""
    first, aborted, last = (stream(seed, 50) for seed in (5, 6, 7))
    options = {"bootstrap_servers": service.bootstrap_servers, "transactional_id": service.topic}
    with closing(KafkaProducer(**options)) as producer:
        producer.init_transactions()
        for records in (first, aborted, last):
            producer.begin_transaction()
            for one in records:
                producer.send(service.topic, one.value, one.key, timestamp_ms=one.milliseconds)
            producer.flush()  # or what is aborted was never sent
            if records is aborted:
                producer.abort_transaction()
            else:
                producer.commit_transaction()
    service.drain()  # the offset behind the 50th record is the marker's
    assert sorted(offset for _, offset in outcomes(service.connection)) == [
        *range(50),
        *range(102, 152),
    ]
    assert deliveries(service.connection).keys() == truth([*first, *last]).deliveries.keys()


def test_a_drain_ends_where_the_last_transaction_was_aborted(service: Service) -> None:
    options = {"bootstrap_servers": service.bootstrap_servers, "transactional_id": service.topic}
    with closing(KafkaProducer(**options)) as producer:
        producer.init_transactions()
        producer.begin_transaction()
        producer.send(service.topic, b"aborted").get()
        producer.abort_transaction()
    assert service.drain() == {}
    assert accounted(service.connection) == 0


def test_a_worker_started_before_its_topic_exists_reads_it_when_it_does(service: Service) -> None:
    service.topic = f"{service.topic}-later"
    worker = service.worker(kafka_topic=service.topic)
    wait_until(lambda: "has no topic" in worker.stderr(), "the worker misses its topic", worker)
    options = {"bootstrap_servers": service.bootstrap_servers}
    with closing(KafkaAdminClient(**options)) as admin:  # fails if the worker had it made
        admin.create_topics([NewTopic(service.topic, 1, 1)])
    sent = stream(8, 100)
    service.publish(sent)
    service.wait_until_accounted(100)
    assert worker.end() == 0
    assert_true(service, sent)


def test_broken_records_become_dead_letters_and_their_neighbours_deliveries(
    service: Service,
) -> None:
    good = stream(9, 400)
    sent = [one for one in good if one.event]
    for number, (value, reason) in enumerate(BROKEN.values()):
        key = b"\0\xff key %d" % number
        broken = Sent(0, key, value, good[-1].milliseconds, None, reason)
        sent.insert(7 * number, broken)
    service.publish(sent)
    assert service.drain()["rejected"] == len(BROKEN) > 20
    assert_true(service, sent)
    assert places(sent).keys() == outcomes(service.connection).keys()


# What ends a worker before it has begun


def test_a_worker_that_can_not_begin_says_why_in_one_line(
    service: Service, database_url: str, empty_database_url: str
) -> None:
    cases = [
        ({"database_url": "mysql://localhost"}, 2, "DELIVERY_DATABASE_URL must look like"),
        ({"event_timezone": "Mars"}, 2, "DELIVERY_EVENT_TIMEZONE is not a time zone"),
        ({"batch_size": "0"}, 2, "DELIVERY_BATCH_SIZE"),
        ({"kafka_bootstrap_servers": "kafka"}, 2, "DELIVERY_KAFKA_BOOTSTRAP_SERVERS must look"),
        ({"kafka_bootstrap_servers": NOWHERE}, 3, f"Kafka can't be reached at {NOWHERE}"),
        ({"database_url": f"postgresql://{NOWHERE}/delivery"}, 3, "PostgreSQL can't be reached"),
        ({"database_url": f"{database_url}_missing"}, 2, "does not exist"),
        ({"database_url": empty_database_url}, 2, "run `delivery migrate`"),
    ]
    started = [service.worker(**setting) for setting, _, _ in cases]
    for worker, (_, code, told) in zip(started, cases, strict=True):
        assert_refused(worker, code, told)


def test_a_worker_on_a_database_of_another_revision_says_what_to_run(service: Service) -> None:
    service.connection.execute("UPDATE alembic_version SET version_num = '0000'")
    assert_refused(service.worker(), 2, "at revision 0000, .* run `delivery migrate`")


def test_a_drain_of_a_topic_that_does_not_exist_says_so(service: Service) -> None:
    assert_refused(service.worker("--drain", kafka_topic="elsewhere"), 2, "no topic elsewhere")


def test_a_table_that_vanishes_ends_the_worker_and_kafka_keeps_the_record(
    service: Service,
) -> None:
    worker = service.worker()
    service.wait_for_members(1)
    rename = sql.SQL("ALTER TABLE {} RENAME TO {}")
    there, gone = sql.Identifier("deliveries"), sql.Identifier("gone")
    service.connection.execute(rename.format(there, gone))
    sent = stream(10, 10)
    service.publish(sent)
    assert worker.exit_code() == 2
    assert re.search(r"^delivery: .*\bdeliveries\b.*run `delivery migrate`$", worker.stderr(), re.M)
    assert "Traceback" not in worker.stderr()
    service.connection.execute(rename.format(gone, there))
    service.drain()
    assert_true(service, sent)


def assert_refused(worker: Process, code: int, told: str) -> None:
    assert worker.exit_code() == code, worker.stderr()
    line, *more = worker.stderr().splitlines()
    assert re.match(f"delivery: .*{told}", line)
    assert more == []
