"""A standby that takes over, a backup that is restored, and a COMMIT that waits for a standby."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from endpoints import Watched, watch
from processes import Process, wait_until
from pydantic import SecretStr
from service import Service
from standby import Pair, back_up
from stream import Sent, stream, truth
from tables import accounted, deliveries, outcomes
from test_commands import delivery
from test_database_behind_kafka import WARNING

from delivery.embedded import postgres
from delivery.embedded.postgres import PostgresServer
from delivery.postgres import database, migrations

FAST = {"fsync": "off"}
LACKING = "delivery_records_missing_from_log_total"
TURNED = "delivery_last_loop_timestamp_seconds"


@pytest.fixture
def primary(tmp_path: Path) -> PostgresServer:
    server = postgres.start(tmp_path / "primary", settings=FAST)
    migrations.upgrade(SecretStr(server.url))
    return server


@pytest.fixture
def pair(tmp_path: Path, primary: PostgresServer) -> Iterator[Pair]:
    """A primary with a standby that has everything, and that no commit waits for."""
    pair = Pair(tmp_path, primary, tmp_path / "primary", FAST)
    pair.await_standby()
    yield pair
    pair.close()


def await_accounted(url: str, records: int, *processes: Process) -> None:
    what = f"{records} records are accounted for"
    with database.connect(SecretStr(url), "test") as connection:
        wait_until(lambda: accounted(connection) >= records, what, *processes)


def await_committed(service: Service, offset: int) -> None:
    wait_until(lambda: service.committed() == {0: offset}, "the offset is committed")


def assert_exact(service: Service, url: str, sent: list[Sent]) -> None:
    """Each record has the outcome, each order the delivery, that the truth says; verify agrees."""
    told = truth(sent)
    with database.connect(SecretStr(url), "test") as connection:
        assert outcomes(connection) == told.outcomes
        assert deliveries(connection) == told.deliveries
    assert service.committed() == {0: len(sent)}
    verified = delivery("verify", **service.settings | {"database_url": url})
    assert (verified.returncode, verified.stdout) == (0, ""), verified.stderr


def told_of(worker: Watched, event: str) -> list[dict[str, object]]:
    return [line for line in worker.process.warnings() if line["event"].startswith(event)]


@pytest.mark.parametrize("comes_later", [0, 40], ids=["no record comes", "records come"])
def test_what_a_promoted_standby_lacks_is_read_again(
    service: Service, pair: Pair, comes_later: int
) -> None:
    sent = stream(21, 800 + comes_later)
    worker = watch(service, database_url=pair.url, batch_size="70")
    service.publish(sent[:500])
    await_accounted(pair.url, 500, worker.process)
    await_committed(service, 500)
    pair.await_standby()
    pair.cut()
    service.publish(sent[500:800])
    await_committed(service, 800)
    pair.fail_over()
    service.publish(sent[800:])
    await_accounted(pair.url, len(sent), worker.process)
    wait_until(lambda: worker.figure(LACKING) == 300, "it is counted", worker.process)
    (warning,) = told_of(worker, WARNING)
    assert (warning["first_offset"], warning["last_offset"], warning["committed"]) == (
        500,
        799,
        800,
    )
    await_committed(service, len(sent))
    assert worker.process.end() == 0
    assert_exact(service, pair.url, sent)


def test_a_restored_backup_is_read_up_to_where_kafka_is(
    service: Service, primary: PostgresServer, tmp_path: Path
) -> None:
    sent = stream(22, 700)
    worker = watch(service, database_url=primary.url)
    service.publish(sent[:300])
    await_accounted(primary.url, 300, worker.process)
    await_committed(service, 300)
    back_up(primary, tmp_path / "restored" / "data")
    service.publish(sent[300:])
    await_committed(service, 700)
    primary.stop()
    restored = postgres.start(tmp_path / "restored", primary.port, FAST)
    await_accounted(restored.url, 700, worker.process)
    wait_until(lambda: worker.figure(LACKING) == 400, "it is counted", worker.process)
    (warning,) = told_of(worker, WARNING)
    assert (warning["first_offset"], warning["last_offset"]) == (300, 699)
    await_committed(service, 700)
    assert worker.process.end() == 0
    assert_exact(service, restored.url, sent)
    restored.stop()


def test_a_promoted_synchronous_standby_lacks_nothing(service: Service, pair: Pair) -> None:
    pair.require_standby()
    sent = stream(23, 2000)
    worker = watch(service, database_url=pair.url, batch_size="10")
    service.publish(sent)
    await_accounted(pair.primary.url, 300, worker.process)
    pair.fail_over()
    await_accounted(pair.url, 2000, worker.process)
    assert told_of(worker, WARNING) == []
    assert worker.figure(LACKING) == 0
    await_committed(service, 2000)
    assert worker.process.end() == 0
    assert_exact(service, pair.url, sent)


def test_a_commit_that_waits_for_a_standby_is_reported_once(service: Service, pair: Pair) -> None:
    pair.require_standby()
    worker = watch(service, database_url=pair.url)
    sent = stream(24, 100)
    wait_until(lambda: worker.status("/readyz") == 200, "it is ready", worker.process)
    pair.cut()
    service.publish(sent)
    wait_until(lambda: worker.status("/readyz") == 503, "it is red", worker.process)
    assert "COMMIT waits for a synchronous standby" in worker.why("/readyz")["database"]
    turned = worker.figure(TURNED) or 0
    # Else it would be restarted after 25 s, and wait again.
    wait_until(lambda: (worker.figure(TURNED) or 0) > turned, "it lives", worker.process)
    assert worker.status("/healthz") == 200
    assert service.committed() == {}
    (warning,) = told_of(worker, "COMMIT waits")
    assert "synchronous_standby_names = 'standby'" in str(warning["event"])
    assert "if it is gone for good, take it out of that setting" in str(warning["event"])
    pair.mend()
    await_committed(service, 100)
    wait_until(lambda: worker.status("/readyz") == 200, "it is ready", worker.process)
    assert worker.process.end() == 0
    assert len(told_of(worker, "COMMIT waits")) == 1
    assert_exact(service, pair.primary.url, sent)


def test_a_worker_that_is_stopped_while_its_commit_waits_says_nothing_false(
    service: Service, pair: Pair
) -> None:
    pair.require_standby()
    worker = service.worker(database_url=pair.url)
    sent = stream(25, 2)
    service.publish(sent[:1])
    await_accounted(pair.url, 1, worker)
    await_committed(service, 1)
    pair.cut()
    service.publish(sent[1:])
    wait_until(lambda: "COMMIT waits" in worker.stderr(), "its commit waits", worker)
    assert worker.end(seconds=15) == 0
    assert sum(worker.totals().values()) == 1
    assert "rolled back" not in worker.stderr()
    assert "if it is committed, they are recognised" in worker.warnings()[-1]["error"]
    assert service.committed() == {0: 1}
    pair.mend()
    await_accounted(pair.primary.url, 2)  # it was committed all the same
    assert service.drain(database_url=pair.url) == {"redelivered": 1}
    assert_exact(service, pair.primary.url, sent)
