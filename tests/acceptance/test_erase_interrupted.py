"""`delivery erase` of many orders, ended or doubled in the middle."""

import signal
import subprocess
from collections.abc import Callable

import psycopg
import pytest
from processes import wait_until
from records import batch, value
from test_commands import command, delivery, environment

from delivery.domain.event import Contract
from delivery.inbox import transaction
from delivery.postgres.database import Connection

ORDERS = 1200  # three portions
ERASE = ("erase", "--ordered-by", "31", "--reason", "request 117")

Contents = Callable[[], dict[str, list[str]]]


@pytest.fixture
def orders(connection: Connection) -> None:
    contents = [value(n, orderedBy=31, requestMessage="door code") for n in range(1, ORDERS + 1)]
    transaction.process(connection, Contract(), batch(*contents))


def start(url: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command(*ERASE),
        env=environment(database_url=url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def waiting(connection: Connection) -> int:
    ((number,),) = connection.execute(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return int(number)


def erased(connection: Connection) -> tuple[int, int, int]:
    """How many events and deliveries are erased, and of how many events that is written down."""
    ((events, deliveries, noted),) = connection.execute(
        "SELECT (SELECT count(*) FROM processed_events WHERE erasure_id IS NOT NULL),"
        "(SELECT count(*) FROM deliveries WHERE num_nonnulls(ordered_by, request_message) = 0),"
        "(SELECT coalesce(sum(processed_events), 0)::integer FROM erasures)"
    )
    return events, deliveries, noted


@pytest.mark.usefixtures("orders")
def test_a_kill_between_two_portions_leaves_whole_portions_and_a_second_run_does_the_rest(
    connection: Connection, database_url: str, contents: Contents
) -> None:
    with psycopg.connect(database_url) as rival:
        rival.execute("SELECT FROM deliveries WHERE order_id = 700 FOR UPDATE")
        process = start(database_url)
        wait_until(lambda: waiting(connection) == 1, "the second portion waits for the rival")
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
        assert erased(connection) == (500, 500, 500)
        rival.rollback()
    again = delivery(*ERASE, stdin=b"", database_url=database_url)
    assert (again.returncode, again.stdout.split()[2:4]) == (0, ["processed_events", "700"])
    assert erased(connection) == (ORDERS, ORDERS, ORDERS)
    before = contents()
    once_more = delivery(*ERASE, stdin=b"", database_url=database_url)
    assert (once_more.returncode, "nothing to erase" in once_more.stderr) == (0, True)
    assert contents() == before


@pytest.mark.usefixtures("orders")
def test_two_erasures_at_once_erase_each_row_once(
    connection: Connection, database_url: str
) -> None:
    with psycopg.connect(database_url) as rival:
        rival.execute("SELECT FROM deliveries WHERE order_id = 1 FOR UPDATE")
        both = [start(database_url) for _ in range(2)]
        wait_until(lambda: waiting(connection) == 2, "one waits for the rival, one for the other")
        rival.rollback()
    assert [(p.communicate(timeout=60), p.returncode)[1] for p in both] == [0, 0]
    assert erased(connection) == (ORDERS, ORDERS, ORDERS)
    assert (
        delivery("verify", "--database-only", stdin=b"", database_url=database_url).returncode == 0
    )
