"""What a worker shows to those who watch it: its figures, and whether it is healthy and ready."""

import json
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from endpoints import Watched, watch, watch_script
from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import NewTopic
from processes import wait_until
from pydantic import SecretStr
from service import Service
from stream import Sent, stream, truth

from delivery.embedded import kafka
from delivery.embedded.ports import HOST, free_port
from delivery.embedded.postgres import PostgresServer
from delivery.errors import SettingsError
from delivery.monitoring.endpoints import serve
from delivery.postgres import migrations
from delivery.postgres.database import Connection

MakeService = Callable[[int], Service]

RETRIES = "delivery_database_retries_total"

# `delivery worker`, but that somebody else writes a delivery of order 1 while the first batch is
# decided.
RACED = """
import os, sys
import psycopg
from delivery import cli
from delivery.inbox.statements import Statements

write = Statements.write

def write_second(*arguments):
    Statements.write = write
    with psycopg.connect(os.environ["DELIVERY_DATABASE_URL"]) as connection:
        connection.execute("INSERT INTO deliveries (order_id, event_time) VALUES (1, '2020-01-01')")
    return write(*arguments)

Statements.write = write_second
sys.argv[1:] = ["worker"]
sys.exit(cli.run())
"""

# `delivery worker --drain`, then 10 where the library is loaded and 20 where a port is open.
OPENED = """
import sys
import psutil
from delivery import cli

sys.argv[1:] = ["worker", "--drain"]
assert cli.run() == 0
ports = [c for c in psutil.Process().net_connections() if c.status == psutil.CONN_LISTEN]
sys.exit(10 * ("prometheus_client" in sys.modules) + 20 * bool(ports))
"""

# Blocks each insert of a delivery, until the function is replaced.
BLOCK = """
CREATE FUNCTION block() RETURNS trigger LANGUAGE plpgsql
AS 'BEGIN PERFORM pg_sleep(100); RETURN NEW; END';
CREATE TRIGGER block BEFORE INSERT ON deliveries FOR EACH ROW EXECUTE FUNCTION block()
"""
UNBLOCK = """
CREATE OR REPLACE FUNCTION block() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'
"""
BLOCKED = "SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep'"


def event(order_id: int, partition: int = 0) -> Sent:
    """A record whose event is as old as itself."""
    now = datetime.now(UTC)
    value = {"event": {"orderId": order_id}, "createdAt": now.isoformat()}
    milliseconds = round(now.timestamp() * 1000)
    return Sent(partition, None, json.dumps(value).encode(), milliseconds, None)


def wait_for(
    worker: Watched, condition: Callable[[], bool], what: str, seconds: float = 30
) -> None:
    wait_until(condition, what, worker.process, seconds=seconds)


def wait_for_status(worker: Watched, path: str, status: int, seconds: float = 30) -> None:
    what = f"{path} says {status}"
    wait_for(worker, lambda: worker.status(path) == status, what, seconds)


# Figures


def test_every_record_is_counted_by_its_outcome(service: Service) -> None:
    sent = stream(61, 1500)
    expected = Counter(truth(sent).outcomes.values())
    service.publish(sent)
    worker = watch(service, batch_size="100")
    service.wait_until_accounted(1500)
    service.connection.execute("UPDATE deliveries SET status = 'dispatched'")
    service.publish([event(next(one.event.order_id for one in sent if one.event))])
    wait_for(worker, lambda: sum(worker.outcomes().values()) == 1501, "all are counted")
    assert worker.outcomes() == expected | Counter(too_late=1)
    again = watch(service, kafka_group_id="another")
    wait_for(again, lambda: again.outcomes() == {"redelivered": 1501}, "all are counted again")


def test_each_batch_is_measured(service: Service) -> None:
    service.publish(event(n) for n in range(1, 101))
    worker = watch(service, batch_size="40")
    name = "delivery_batch_records"
    wait_for(worker, lambda: worker.figure(f"{name}_sum") == 100, "all are in a batch")
    figures = worker.figures()
    batches = figures[f"{name}_count"]
    assert batches >= 3
    assert (
        figures[f'{name}_bucket{{le="10.0"}}'] < batches == figures[f'{name}_bucket{{le="50.0"}}']
    )
    assert figures["delivery_batch_duration_seconds_count"] == batches
    assert 0 < figures["delivery_batch_duration_seconds_sum"] < 30
    assert figures["delivery_event_age_seconds_count"] == batches
    assert 0 < figures["delivery_event_age_seconds_sum"] / batches < 30
    assert figures['delivery_build_info{version="0.1.0"}'] == 1
    assert figures["process_open_fds"] > 5


def test_a_batch_that_is_decided_again_is_a_race(service: Service) -> None:
    service.publish([event(1)])
    worker = watch_script(service, RACED)
    wait_for(worker, lambda: worker.outcomes() == {"updated": 1}, "the record is counted")
    assert worker.figure("delivery_races_total") == 1


def test_unresolved_dead_letters_are_shown_by_reason(service: Service) -> None:
    service.publish([Sent(0, b"key", value, 0, None) for value in (None, b"", b"{", b"no JSON")])
    service.drain()
    service.connection.execute(
        "UPDATE dead_letters SET resolved_at = now(), resolution = 'discarded'"
        " WHERE record_offset = 1"
    )
    worker = watch(service)
    wait_for_status(worker, "/metrics", 200)
    letters = "delivery_dead_letters_unresolved{reason="
    assert worker.figure(f'{letters}"not_json"}}') == 2
    assert worker.figure(f'{letters}"tombstone"}}') == 1
    assert worker.figure(f'{letters}"invalid_time"}}') == 0


def test_records_lost_to_retention_are_counted(service: Service) -> None:
    service.publish(event(n) for n in range(1, 11))
    service.drain()
    service.publish(event(n) for n in range(11, 31))
    with closing(KafkaAdminClient(bootstrap_servers=service.bootstrap_servers)) as admin:
        admin.delete_records({TopicPartition(service.topic, 0): 18})
    worker = watch(service)
    wait_for(worker, lambda: worker.outcomes() == {"created": 12}, "the rest is read")
    assert worker.figure("delivery_records_lost_to_retention_total") == 8


def test_lag_is_shown_for_the_partitions_that_are_ours_and_no_other(
    make_service: MakeService,
) -> None:
    """Also by a worker that has none, for there are more workers than partitions: it is ready."""
    service = make_service(2)
    service.publish(event(n, partition=n % 2) for n in range(1, 11))
    workers = [watch(service)]
    wait_for(workers[0], lambda: workers[0].lags() == {0: 0, 1: 0}, "it has both partitions")
    workers.append(watch(service))
    wait_for(
        workers[0],
        lambda: sorted(map(Watched.lags, workers), key=list) == [{0: 0}, {1: 0}],
        "each has one",
    )
    workers.append(watch(service))
    service.wait_for_members(3)
    wait_for_status(workers[2], "/readyz", 200)
    everywhere = [{}, {0: 0}, {1: 0}]
    wait_for(
        workers[2],
        lambda: sorted(map(Watched.lags, workers), key=list) == everywhere,
        "one has none",
    )


# An outage


def test_an_outage_of_the_database_makes_a_worker_unready_but_not_unhealthy(
    service: Service, own_postgres: Callable[[], PostgresServer]
) -> None:
    server = own_postgres()
    migrations.upgrade(SecretStr(server.url))
    url = server.url.replace("postgres@", "postgres:s3cr3t@")
    worker = watch(service, database_url=url)
    wait_for_status(worker, "/readyz", 200)
    server.stop()
    service.publish(event(n) for n in range(1, 101))
    wait_for_status(worker, "/readyz", 503)
    wait_for(
        worker,
        lambda: worker.why("/readyz").keys() == {"database", "schema"},
        "it is for the database alone that it is not ready",
    )
    assert worker.why("/readyz")["database"].startswith("PostgreSQL can't be reached: ")
    assert "s3cr3t" not in worker.get("/readyz")[1]
    wait_for(worker, lambda: (worker.figure(RETRIES) or 0) >= 6, "it was tried again and again")
    assert worker.lags() == {0: 100}
    # Its delays are longer than the loop's usual turn by now.
    assert time.time() - worker.figures()["delivery_last_loop_timestamp_seconds"] < 2.5
    assert worker.status("/healthz") == 200
    server = own_postgres()
    wait_for_status(worker, "/readyz", 200)
    wait_for(worker, lambda: worker.outcomes() == {"created": 100}, "all are processed")


def test_readiness_is_reported_in_time_where_the_database_hangs(
    service: Service, own_postgres: Callable[[], PostgresServer]
) -> None:
    """As where its host is gone: what is frozen takes a connection, and never answers."""
    server = own_postgres()
    migrations.upgrade(SecretStr(server.url))
    worker = watch(service, database_url=server.url)
    wait_for_status(worker, "/readyz", 200)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        asked = time.monotonic()
        assert worker.why("/readyz")["database"] == "no answer within 2 s"
        assert time.monotonic() - asked < 3
        for path, status in [("/readyz", 503), ("/metrics", 200), ("/healthz", 200)]:
            asked = time.monotonic()
            assert worker.status(path) == status
            assert time.monotonic() - asked < 3
    finally:
        os.kill(server.pid, signal.SIGCONT)
    wait_for_status(worker, "/readyz", 200)


def test_an_outage_of_kafka_makes_a_worker_unready_but_not_unhealthy(
    make_service: MakeService, tmp_path: Path
) -> None:
    settings = {"group.min.session.timeout.ms": "1000"}
    server = kafka.start(tmp_path / "kafka", settings=settings, fast_start=True)
    service = make_service(1)
    with closing(KafkaAdminClient(bootstrap_servers=server.bootstrap_servers)) as admin:
        admin.create_topics([NewTopic(service.topic, 1, 1)])
    worker = watch(service, kafka_bootstrap_servers=server.bootstrap_servers)
    try:
        wait_for_status(worker, "/readyz", 200)
        server.stop()
        wait_for_status(worker, "/readyz", 503)
        assert worker.why("/readyz").keys() == {"group"}
        assert worker.status("/healthz") == 200
        server = kafka.start(tmp_path / "kafka", server.port, settings, fast_start=True)
        wait_for_status(worker, "/readyz", 200)
    finally:
        server.stop()


# A loop that is stuck


def test_a_stuck_loop_is_unhealthy_within_30_seconds_until_it_moves_again(
    service: Service,
) -> None:
    service.connection.execute(BLOCK)
    worker = watch(service, kafka_session_timeout="100")  # no statement is ended before
    wait_for_status(worker, "/readyz", 200)
    service.publish([event(1)])
    wait_for(worker, lambda: service.connection.execute(BLOCKED).rowcount == 1, "it is stuck")
    assert worker.status("/healthz") == 200
    wait_for_status(worker, "/healthz", 503, seconds=30)
    assert "not turned for" in worker.why("/healthz")["loop"]
    assert worker.why("/readyz") == {}
    assert time.time() - worker.figures()["delivery_last_loop_timestamp_seconds"] > 20
    service.connection.execute(UNBLOCK)
    wait_for_status(worker, "/healthz", 200)
    wait_for(worker, lambda: worker.outcomes() == {"created": 1}, "the record is processed")


# A worker that has nothing to do yet


def test_a_worker_that_waits_for_its_topic_is_healthy_and_not_ready(service: Service) -> None:
    topic = f"{service.topic}-later"
    worker = watch(service, kafka_topic=topic)
    wait_for_status(worker, "/healthz", 200)
    missed = "has no topic"  # it looks every 5 s
    wait_for(worker, lambda: worker.process.stderr().count(missed) > 1, "it looks again")
    missing = f"Kafka has no topic {topic}: check DELIVERY_KAFKA_TOPIC"
    assert worker.why("/readyz") == {"group": missing}
    assert time.time() - worker.figures()["delivery_last_loop_timestamp_seconds"] < 2.5
    with closing(KafkaAdminClient(bootstrap_servers=service.bootstrap_servers)) as admin:
        admin.create_topics([NewTopic(topic, 1, 1)])
    wait_for_status(worker, "/readyz", 200)


def test_a_schema_of_another_revision_makes_a_worker_unready(
    service: Service, connection: Connection
) -> None:
    worker = watch(service)
    wait_for_status(worker, "/readyz", 200)
    connection.execute("UPDATE alembic_version SET version_num = '0000'")
    assert worker.status("/readyz") == 503
    why = worker.why("/readyz")
    assert why.keys() == {"schema"}
    assert "run `delivery migrate`" in why["schema"]
    assert worker.status("/healthz") == 200


# The port


@pytest.mark.parametrize(
    ("settings", "code"),
    [({}, 0), ({"metrics_port": ""}, 0), ({"metrics_port": "port"}, 30)],
    ids=["not set", "empty", "set"],
)
def test_without_a_port_nothing_listens_and_no_library_is_loaded(
    service: Service, settings: dict[str, str], code: int
) -> None:
    port = {name: str(free_port()) for name, value in settings.items() if value}
    drained = service.run("-c", OPENED, **settings | port)
    assert drained.exit_code() == code, drained.stderr()


def test_a_port_that_is_taken_ends_the_worker_with_one_line(service: Service) -> None:
    with closing(socket.create_server((HOST, free_port()))) as other:
        worker = watch(service, metrics_port=str(other.getsockname()[1]))
        assert worker.process.exit_code() == 2
    (line,) = worker.process.stderr().splitlines()
    assert line.startswith("delivery: DELIVERY_METRICS_PORT: ")
    assert "Address already in use" in line


def test_a_path_that_is_none_is_answered_with_those_there_are(service: Service) -> None:
    worker = watch(service)
    wait_for_status(worker, "/healthz", 200)
    status, body = worker.get("/")
    assert status == 404
    assert body.split()[-3:] == ["/metrics", "/healthz", "/readyz"]


@pytest.mark.parametrize("host", ["203.0.113.1", "no.such.host.invalid"])
def test_a_host_that_is_not_ours_is_refused_by_name(host: str) -> None:
    with pytest.raises(SettingsError, match="DELIVERY_METRICS_HOST"):
        serve(host, 9464, lambda _environ, _start: [])
