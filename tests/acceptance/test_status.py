"""`delivery status` beside real workers: is it alive, and what is wrong where it is not."""

import json
import re
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from processes import wait_until
from service import Service
from stream import Sent
from test_commands import Done, delivery

UNREACHABLE = "127.0.0.1:1"


def long_ago() -> datetime:
    return datetime.now(UTC) - timedelta(minutes=47)


def sent(order_id: int, at: datetime | None = None) -> Sent:
    value = f'{{"event": {{"orderId": {order_id}}}, "createdAt": "2026-11-01T10:00:00"}}'
    milliseconds = round((at or datetime.now(UTC)).timestamp() * 1000)
    return Sent(0, None, value.encode(), milliseconds, None)


def status(service: Service, *options: str, **settings: str) -> Done:
    return delivery("status", *options, **service.settings | settings)


def told(service: Service, **settings: str) -> dict[str, Any]:
    """The object that programs get."""
    done = status(service, "--format", "json", **settings)
    (line,) = done.stdout.splitlines()
    found: dict[str, Any] = json.loads(line)
    assert found["ok"] == (done.returncode == 0)
    return found


def test_a_worker_that_reads_all_partitions_is_all_that_is_wanted(service: Service) -> None:
    service.worker()
    service.wait_for_members(1)
    service.publish([sent(1)])
    service.wait_until_accounted(1)
    wait_until(lambda: told(service)["waiting"] == 0, "the offset is committed")
    done = status(service)
    assert (done.returncode, done.stderr) == (0, "")
    assert "all is well" in done.stdout
    assert re.search(rf"{service.topic}/0 +1 +1 +0", done.stdout)
    assert re.search(r"last record +\d+ s ago", done.stdout)
    found = told(service)
    (member,) = found["members"]
    assert member["partitions"] == [f"{service.topic}/0"]
    assert (found["findings"], found["waiting"], found["open_dead_letters"]) == ([], 0, 0)


def test_without_a_worker_it_says_what_waits_and_since_when(service: Service) -> None:
    service.publish([sent(1, long_ago()), sent(2), sent(3)])
    done = status(service)
    assert done.returncode == 1
    assert (
        f"WRONG: nobody consumes: no member in group {service.group}, 3 records wait, oldest 47 min"
    ) in done.stdout
    found = told(service)
    assert [finding["kind"] for finding in found["findings"]] == ["nobody_consumes"]
    (partition,) = found["partitions"]
    assert (partition["lag"], partition["committed"], partition["end"]) == (3, None, 3)
    assert 47 * 60 <= partition["oldest_seconds"] < 49 * 60


def test_a_worker_that_ended_is_missed_and_what_it_read_does_not_wait(service: Service) -> None:
    service.publish([sent(1, long_ago())])
    service.drain()
    service.publish([sent(2), sent(3)])
    found = told(service)
    assert [finding["kind"] for finding in found["findings"]] == ["nobody_consumes"]
    assert (found["waiting"], found["state"]) == (2, "Empty")
    assert 0 <= found["oldest_seconds"] < 60


def test_what_retention_deleted_unread_is_told(service: Service) -> None:
    service.publish([sent(n) for n in range(1, 5)])
    service.drain()
    service.publish([sent(n) for n in range(5, 15)])
    with closing(KafkaAdminClient(bootstrap_servers=service.bootstrap_servers)) as admin:
        admin.delete_records({TopicPartition(service.topic, 0): 7})
    found = told(service)
    assert "lost_to_retention" in [finding["kind"] for finding in found["findings"]]
    assert (found["partitions"][0]["lost"], found["waiting"]) == (3, 7)


def test_without_kafka_the_database_is_shown_and_the_exit_code_says_so(service: Service) -> None:
    done = status(service, kafka_bootstrap_servers=UNREACHABLE)
    assert done.returncode == 3
    assert "Kafka can't be reached" in done.stderr
    assert "dead letters  0 open" in done.stdout


def test_without_the_database_kafka_is_shown_and_the_exit_code_says_so(service: Service) -> None:
    service.publish([sent(1)])
    done = status(service, database_url="postgresql://127.0.0.1:1/delivery")
    assert done.returncode == 3
    assert "PostgreSQL can't be reached" in done.stderr
    assert "no member in group" in done.stdout


def test_a_database_that_is_not_migrated_is_wrong(
    service: Service, empty_database_url: str
) -> None:
    done = status(service, database_url=empty_database_url)
    assert done.returncode == 1
    assert "run `delivery migrate`" in done.stdout


def test_without_settings_it_says_what_to_set() -> None:
    done = delivery("status")
    assert (done.returncode, done.stdout) == (2, "")
    assert "DELIVERY_DATABASE_URL is not set" in done.stderr
    assert "DELIVERY_KAFKA_BOOTSTRAP_SERVERS is not set" in done.stderr


def test_stats_tell_the_lag_of_each_partition(service: Service) -> None:
    service.publish([sent(1), sent(2)])
    found = json.loads(delivery("stats", "--format", "json", **service.settings).stdout)
    assert found["lag"] == [{"partition": f"{service.topic}/0", "lag": 2}]
    done = delivery("stats", **service.settings)
    assert re.search(rf"{service.topic}/0 +2\n", done.stdout)


def test_stats_without_kafka_count_all_the_same_and_say_why_there_is_no_lag(
    service: Service,
) -> None:
    settings = service.settings | {"kafka_bootstrap_servers": UNREACHABLE}
    done = delivery("stats", "--format", "json", **settings)
    assert (done.returncode, json.loads(done.stdout)["lag"]) == (0, None)
    assert "the lag is not known: Kafka can't be reached" in done.stderr
