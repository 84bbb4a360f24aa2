"""A database that lacks what Kafka has as committed: a promoted standby, a restored backup."""

import time
from contextlib import closing

from kafka import KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata
from processes import wait_until
from service import Service
from stream import Sent
from tables import accounted
from test_commands import delivery

EVENT = b'{"event": {"orderId": %d}, "createdAt": [2026,1,1,0,0]}'
WARNING = "the log lacks records below the committed offset: reading them again"


def publish(service: Service, first: int, number: int) -> None:
    now = round(time.time() * 1000)
    service.publish(Sent(0, None, EVENT % n, now, None) for n in range(first, first + number))


def lose(service: Service, offset: int) -> None:
    """The last transactions, from the one of this offset on, are gone."""
    with service.connection.transaction():
        service.connection.execute("SET LOCAL session_replication_role = replica")
        service.connection.execute(
            "DELETE FROM deliveries WHERE order_id IN "
            "(SELECT order_id FROM processed_events WHERE record_offset >= %s)",
            (offset,),
        )
        service.connection.execute(
            "DELETE FROM processed_events WHERE record_offset >= %s", (offset,)
        )


def run(service: Service, *arguments: str) -> tuple[int, str]:
    done = delivery(*arguments, **service.settings)
    return done.returncode, done.stdout + done.stderr


def test_a_worker_that_joins_reads_again_what_the_log_lacks(service: Service) -> None:
    publish(service, 1, 500)
    assert service.drain() == {"created": 500}
    lose(service, 300)
    worker = service.worker("--drain")
    assert worker.exit_code() == 0, worker.stderr()
    assert worker.totals() == {"created": 200}
    (warning,) = worker.warnings()
    assert warning["event"] == WARNING
    assert (warning["first_offset"], warning["last_offset"], warning["committed"]) == (
        300,
        499,
        500,
    )
    assert service.committed() == {0: 500}
    assert run(service, "verify")[0] == 0
    assert service.drain() == {}


def test_a_worker_whose_session_is_new_reads_again_what_the_log_lacks(service: Service) -> None:
    publish(service, 1, 100)
    worker = service.worker()
    service.wait_until_accounted(100)
    wait_until(lambda: service.committed() == {0: 100}, "it is committed", worker)
    lose(service, 40)
    service.connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name = 'delivery worker'"
    )
    publish(service, 101, 1)
    service.wait_until_accounted(101)
    assert worker.end() == 0
    assert [w["event"] for w in worker.warnings()].count(WARNING) == 1
    assert run(service, "verify")[0] == 0


def test_an_offset_that_another_service_committed_says_nothing_of_our_log(
    service: Service,
) -> None:
    publish(service, 1, 50)
    with closing(
        KafkaConsumer(bootstrap_servers=service.bootstrap_servers, group_id=service.group)
    ) as old:
        old.commit({TopicPartition(service.topic, 0): OffsetAndMetadata(30, "", -1)})
    assert service.drain() == {"created": 20}
    assert service.drain() == {}


def test_rewind_sets_the_offsets_back_on_demand_and_not_beside_members(service: Service) -> None:
    publish(service, 1, 100)
    assert service.drain() == {"created": 100}
    code, said = run(service, "rewind")
    assert (code, "nothing to do" in said) == (0, True)
    lose(service, 70)
    code, said = run(service, "verify")
    assert (code, "delivery rewind" in said) == (1, True)
    code, said = run(service, "rewind", "--dry-run")
    assert (code, service.committed()) == (0, {0: 100})
    assert f"{service.topic}/0" in said
    code, said = run(service, "rewind")
    assert (code, service.committed()) == (0, {0: 70})
    worker = service.worker()
    service.wait_for_members(1)
    wait_until(lambda: accounted(service.connection) == 100, "it is read again", worker)
    code, said = run(service, "rewind")
    assert code == 1
    assert "has 1 active members: stop the workers first" in said
    assert worker.end() == 0
    assert run(service, "verify")[0] == 0
