"""Workers that are killed, stopped or frozen, and a database that goes away, in mid-run."""

import os
import random
import signal
from collections.abc import Callable

import pytest
from processes import Process, wait_until
from pydantic import SecretStr
from service import Service
from stream import Sent, stream, truth
from tables import (
    accounted,
    assert_whatever_the_order,
    deliveries,
    ends,
    outcomes,
)

from delivery.embedded.postgres import PostgresServer
from delivery.postgres import database, migrations

Contents = Callable[[], dict[str, list[str]]]
MakeService = Callable[[int], Service]

# `delivery worker`, but that it sends itself a signal at the Nth call of a function, before it or
# after it.
DOOMED = """
import os, pkgutil, signal, sys
from delivery import cli

number, owner, function, moment, calls = sys.argv[1:]
sys.argv[1:] = ["worker"]
owner, left = pkgutil.resolve_name(owner), int(calls)
original = getattr(owner, function)

def doomed(*arguments):
    global left
    left -= 1
    if not left and moment == "before, joining anew":
        consumer = arguments[0]._consumer
        consumer._coordinator.request_rejoin()
        consumer.poll(0)  # asks to join, and does not wait for the answer
    if not left and moment.startswith("before"):
        os.kill(os.getpid(), signal.Signals[number])
    result = original(*arguments)
    if not left and moment == "after":
        os.kill(os.getpid(), signal.Signals[number])
    return result

setattr(owner, function, doomed)
sys.exit(cli.run())
"""


def assert_true(service: Service, sent: list[Sent]) -> None:
    """Each record has the outcome, and each order the delivery, that the truth says."""
    told = truth(sent)
    assert outcomes(service.connection) == told.outcomes
    assert deliveries(service.connection) == told.deliveries


# SIGKILL


def test_workers_killed_at_any_moment_lose_nothing_and_write_nothing_twice(
    service: Service,
) -> None:
    some, sent = random.Random(11), stream(11, 6000)
    service.publish(sent)
    for records in sorted(some.sample(range(1, 5000), 3)):
        worker = service.worker(batch_size=str(some.randint(10, 60)))
        service.wait_until_accounted(records)
        assert worker.end(signal.SIGKILL) == -signal.SIGKILL
        assert accounted(service.connection) < 6000
    service.drain()
    assert_true(service, sent)


@pytest.mark.parametrize(
    ("owner", "function", "moment", "written", "sent_off"),
    [
        ("delivery.inbox.statements:Statements", "write", "after", 200, 200),
        ("delivery.broker.consumer:GroupConsumer", "commit", "before", 300, 200),
    ],
    ids=["before the database commit", "between the commits"],
)
def test_a_worker_killed_around_its_commits_leaves_whole_batches(
    service: Service,
    contents: Contents,
    owner: str,
    function: str,
    moment: str,
    written: int,
    sent_off: int,
) -> None:
    sent = stream(12, 1000)
    service.publish(sent)
    doomed = service.run("-c", DOOMED, "SIGKILL", owner, function, moment, "3", batch_size="100")
    assert doomed.exit_code() == -signal.SIGKILL
    assert accounted(service.connection) == written
    committed = service.committed().get(0, 0)
    assert committed <= sent_off  # the worker does not wait for Kafka's answer
    before = contents()
    assert service.drain().get("redelivered", 0) == written - committed
    after = contents()
    for log in ("processed_events", "duplicate_events", "dead_letters"):
        assert set(before[log]) <= set(after[log])
    assert_true(service, sent)


# SIGTERM and SIGINT


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_asked_to_stop_commits_what_it_did_and_the_next_one_goes_on_there(
    make_service: MakeService, number: signal.Signals
) -> None:
    service = make_service(2)
    sent = stream(13, 6000, partitions=2, keyed=True)
    service.publish(sent)
    worker = service.worker(batch_size="20")
    service.wait_until_accounted(500)
    assert worker.end(number, seconds=30) == 0
    done = accounted(service.connection)
    assert 500 <= done < 6000
    assert service.committed() == ends(service.connection)
    assert sum(worker.totals().values()) == done
    totals = service.drain()
    assert sum(totals.values()) == 6000 - done
    assert "redelivered" not in totals
    assert_true(service, sent)


# SIGSTOP


@pytest.mark.parametrize(
    ("owner", "function", "moment", "calls"),
    [
        ("delivery.inbox.statements:Statements", "write", "after", "2"),
        ("delivery.broker.consumer:GroupConsumer", "commit", "before", "2"),
        ("delivery.broker.consumer:GroupConsumer", "commit", "before, joining anew", "2"),
        # No timeout of the server's ends a COPY that waits for its client, be it for ever.
        pytest.param(
            *("psycopg:Copy", "write_row", "after", "100"),
        ),
    ],
    ids=[
        "before the database commit",
        "between the commits",
        "between the commits, joining anew",
        "in the COPY of deliveries",
    ],
)
def test_a_frozen_worker_is_replaced_and_does_no_harm_when_it_wakes(
    make_service: MakeService, owner: str, function: str, moment: str, calls: str
) -> None:
    service = make_service(2)
    sent = stream(14, 2000, partitions=2)
    service.publish(sent)
    frozen = service.run("-c", DOOMED, "SIGSTOP", owner, function, moment, calls, batch_size="100")
    wait_until(lambda: is_stopped(frozen), "it stops itself", frozen)
    assert accounted(service.connection) <= 200
    successor = service.worker("--drain")
    assert successor.exit_code() == 0
    assert accounted(service.connection) == 2000
    frozen.running.send_signal(signal.SIGCONT)
    service.wait_for_members(1)
    assert frozen.end() == 0
    assert_whatever_the_order(service.connection, sent)
    assert service.committed() == ends(service.connection)


def is_stopped(process: Process) -> bool:
    how = os.WSTOPPED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, process.running.pid, how) is not None


# A database that goes away


def test_a_worker_outlives_its_database_and_goes_on_when_it_is_back(
    service: Service, own_postgres: Callable[[], PostgresServer]
) -> None:
    """Once it is shut down, once it crashes."""
    server = own_postgres()
    migrations.upgrade(SecretStr(server.url))
    sent = stream(15, 3000)
    service.publish(sent)
    worker = service.worker(database_url=server.url, batch_size="20")
    for records, end in [(500, PostgresServer.stop), (1500, PostgresServer.kill)]:
        with database.connect(SecretStr(server.url), "test") as service.connection:
            service.wait_until_accounted(records)
        before = tries(worker)
        end(server)
        wait_for_tries(worker, before + 1)
        server = own_postgres()
    with database.connect(SecretStr(server.url), "test") as service.connection:
        assert accounted(service.connection) < 3000
        service.wait_until_accounted(3000)
        assert worker.end() == 0
        assert_true(service, sent)
    assert service.committed() == {0: 3000}


def tries(worker: Process) -> int:
    """How often it has found its database away."""
    return worker.stderr().count("database unavailable")


def wait_for_tries(worker: Process, number: int) -> None:
    wait_until(lambda: tries(worker) >= number, f"database away {number} times", worker)


def test_a_worker_asked_to_stop_while_its_database_is_away_ends(
    service: Service, own_postgres: Callable[[], PostgresServer]
) -> None:
    server = own_postgres()
    migrations.upgrade(SecretStr(server.url))
    worker = service.worker(database_url=server.url)
    service.wait_for_members(1)
    server.stop()
    service.publish(stream(16, 100))
    # The delays grow: after some of them it is asked in the midst of a longer one.
    wait_for_tries(worker, 5)
    assert worker.end(seconds=10) == 0
    assert worker.totals() == {}
    assert service.committed() == {}
