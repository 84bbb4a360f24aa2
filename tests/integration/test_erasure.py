"""What an erasure takes away, what it leaves, who may do it, and what can come beside it."""

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from alembic import command
from contended import work_and_erase
from every_command import Run, as_user
from forbidden import FORBIDDEN, NOTE
from httpx import Client
from letters import TESTER
from psycopg.errors import InsufficientPrivilege
from pydantic import SecretStr
from records import at, batch, value
from served import served

from delivery.cli import DONE, NO, USAGE
from delivery.dead_letters import queries, resolve
from delivery.domain.event import Contract
from delivery.erasure import search
from delivery.erasure.erase import Erasure
from delivery.errors import RaceError
from delivery.inbox import transaction
from delivery.postgres import database, distributed_erasure, migrations
from delivery.postgres.columns import PERSONAL
from delivery.postgres.database import Connection
from delivery.verify import Progress, findings
from delivery.web import masking

Contents = Callable[[], dict[str, list[str]]]
Erase = Callable[..., dict[str, int]]

CUSTOMER = 31
WHO: dict[str, Any] = {"orderedBy": CUSTOMER, "supplyCompanyId": 5, "requestMessage": "door code"}
OLD_MONTH, NO_MONTH = -400 * 24 * 60, -30 * 365 * 24 * 60  # minutes; the last has no partition


@pytest.fixture
def eraser(connection: Connection, database_url: str, run: Run) -> Iterator[str]:
    """The URL of a role that may erase."""
    name = f"{database_url.rpartition('/')[2]}_eraser"
    connection.execute(f"CREATE ROLE {name} LOGIN")
    assert run(database_url, "migrate", "--erasure-role", name)[0] == DONE
    yield as_user(name, database_url)
    connection.execute(f"DROP OWNED BY {name}")
    connection.execute(f"DROP ROLE {name}")


@pytest.fixture
def erase(eraser: str, run: Run) -> Erase:
    """Erases with these arguments, as that role. Returns how many rows of each table it says."""

    def erase(*arguments: object) -> dict[str, int]:
        code, out, _ = run(eraser, "erase", *map(str, arguments), "--reason", "request 117")
        assert code == DONE
        return {table: int(rows) for table, rows in map(str.split, out.splitlines()[1:])}

    return erase


@pytest.fixture(params=["alone", "on Citus"])
def functions(request: pytest.FixtureRequest, connection: Connection) -> None:
    """The migrations' functions, and what is made of them where the log is distributed."""
    if request.param == "on Citus":
        distributed_erasure.allow(connection.execute, "public")
        distributed_erasure.allow(connection.execute, "public")


def process(connection: Connection, *contents: bytes | None, first: int = 0) -> dict[str, int]:
    return dict(+transaction.process(connection, Contract(), batch(*contents, first=first)))


def found(connection: Connection) -> list[str]:
    """What verify finds."""
    with database.transaction(connection):
        nothing = (connection, Contract(), {}, lambda *_: [], Progress())
        return [finding.kind for finding in findings(*nothing)]


def counted(events: int = 0, duplicates: int = 0, deliveries: int = 0, letters: int = 0) -> Any:
    return {
        "processed_events": events,
        "duplicate_events": duplicates,
        "deliveries": deliveries,
        "dead_letters": letters,
    }


# What goes, and what stays


@pytest.mark.usefixtures("functions")
def test_data_goes_and_the_skeleton_stays(connection: Connection, erase: Erase) -> None:
    skeleton = (
        "SELECT order_id, event_time, outcome, record_topic, record_partition, record_offset, "
        "record_time, consumed_at, record_topic_id FROM event_history ORDER BY record_offset"
    )
    contents = [value(1, 5, **WHO), value(1, 9, quantity=7, **WHO), value(1, OLD_MONTH),
                value(1, NO_MONTH), value(1, 5, **WHO), value(1, 5), value(2, **WHO),
                b'{"event": {"orderId": 1}}']  # fmt: skip
    process(connection, *contents)
    before = connection.execute(skeleton).fetchall()
    assert erase("--order", 1) == counted(4, 1, 1, 1)
    assert connection.execute(skeleton).fetchall() == before
    payloads = connection.execute("SELECT payload FROM event_history WHERE order_id = 1").fetchall()
    assert sorted(str(payload) for (payload,) in payloads if payload) == sorted(
        str({"erased": True, "event": {"orderId": 1}, "createdAt": at(minute).isoformat()})
        for minute in (5, 5, 9, OLD_MONTH, NO_MONTH)
    )
    delivery = "SELECT quantity, ordered_by, supply_company_id, request_message FROM deliveries"
    assert connection.execute(f"{delivery} ORDER BY order_id").fetchall() == [
        (7, None, None, None),
        (None, CUSTOMER, 5, "door code"),
    ]
    letter = "SELECT record_key, record_value, record_headers, error, reason, order_id, resolution"
    assert connection.execute(f"{letter} FROM dead_letters").fetchall() == [
        (None, None, [], "erased", "missing_field", 1, "discarded")
    ]
    assert found(connection) == []


def test_an_erasure_says_who_when_why_and_how_much_but_not_whose(
    connection: Connection, erase: Erase, eraser: str
) -> None:
    process(connection, value(1, orderedBy=4_711_471_147), value(2, orderedBy=4_711_471_147))
    erase("--ordered-by", 4_711_471_147)
    ((row, who, age),) = connection.execute(
        "SELECT to_jsonb(e) - 'erased_at', erased_by, now() - erased_at FROM erasures AS e"
    )
    assert row == {"erasure_id": row["erasure_id"], "erased_by": who, "reason": "request 117",
                   "criterion": "ordered_by", **counted(2, 0, 2, 0)}  # fmt: skip
    assert f"//{who}@" in eraser
    assert 0 <= age.total_seconds() < 60
    assert connection.execute("SELECT DISTINCT erasure_id FROM processed_events").fetchall() == [
        (row["erasure_id"],)
    ]


def test_each_column_that_is_masked_is_erased(connection: Connection, erase: Erase) -> None:
    assert set(PERSONAL) == masking.PERSONAL_COLUMNS
    names = {"ordered_by": 1, "supply_company_id": 2, "consume_company_id": 3}
    process(connection, value(1, orderedBy=1, supplyCompanyId=2, consumeCompanyId=3,
                              requestMessage="x"))  # fmt: skip
    (before,) = connection.execute(f"SELECT {', '.join(PERSONAL)} FROM deliveries").fetchall()
    assert set(names.values()) < set(before)
    erase("--order", 1)
    (after,) = connection.execute(f"SELECT {', '.join(PERSONAL)} FROM deliveries").fetchall()
    assert set(after) == {None}


ODD = [
    b'{"event": {"orderId": 1, "x\\u0000": "\\u0000"}, "createdAt": "2026-11-01T01:00Z"}',
    b'{"event": {"orderId": 2, "orderedBy": 9}, "createdAt": "2026-11-01T01:00Z",'
    b'"event": {"orderId": 2, "ordered\\u0042y": 31, "x\\u0000": []}}',
]


def test_payloads_that_jsonb_refuses_are_found_and_erased(
    connection: Connection, erase: Erase
) -> None:
    process(connection, *ODD)
    assert erase("--ordered-by", CUSTOMER) == counted(1, 0, 1)
    assert erase("--order", 1) == counted(1)
    assert found(connection) == []


def test_all_ways_to_name_orders_are_one(connection: Connection, erase: Erase) -> None:
    process(connection, *(value(n, **WHO) for n in range(1, 6)))
    assert erase("--order", 1, "--order", 2) == counted(2, 0, 2)
    assert erase("--order", 2, 3, 4) == counted(2, 0, 2)
    assert erase("--order", 99) == counted()


@pytest.mark.usefixtures("functions")
def test_a_dry_run_counts_what_a_run_does_and_changes_nothing(
    connection: Connection, eraser: str, erase: Erase, run: Run, contents: Contents
) -> None:
    process(connection, value(1, **WHO), value(1, **WHO), value(1, quantity=1), b"no JSON",
            b'{"event": {"orderId": 8, "orderedBy": 31}}')  # fmt: skip
    before = contents()
    code, out, err = run(eraser, "erase", "--ordered-by", "31", "--dry-run")
    assert (code, contents()) == (DONE, before)
    assert "would be erased" in out
    told = {table: int(rows) for table, rows in map(str.split, out.splitlines()[1:])}
    assert (told, err) == (counted(1, 1, 1, 1), "")
    assert erase("--ordered-by", CUSTOMER) == told
    once = contents()
    assert erase("--ordered-by", CUSTOMER) == counted()
    assert erase("--order", 1) == counted()
    assert contents() == once


def test_the_database_keeps_no_common_values_of_personal_columns(
    empty_database_url: str,
) -> None:
    """Neither from before the migration nor from after it; and no row is rewritten."""
    common = (
        "SELECT tablename, attname FROM pg_stats WHERE tablename IN ('deliveries', 'dead_letters') "
        "AND (attname = ANY(%s) OR attname ~ 'record_(key|value)')"
    )
    files = "SELECT pg_relation_filenode('deliveries'), pg_relation_filenode('dead_letters')"
    with migrations.engine(SecretStr(empty_database_url)).connect() as engine:
        command.upgrade(migrations.config(engine), "0006")
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        for number in range(20):
            connection.execute("INSERT INTO deliveries (order_id, event_time, ordered_by, "
                "supply_company_id, consume_company_id, request_message) "
                "VALUES (%s, now(), 1, 2, 3, 'x')", (number,))  # fmt: skip
            connection.execute("INSERT INTO dead_letters (record_topic, record_partition, "
                "record_offset, record_key, record_value, record_headers, reason, error) "
                "VALUES ('t', 0, %s, 'k', 'v', '[]', 'not_json', 'e')", (number,))  # fmt: skip
        connection.execute("ANALYZE")
        before = connection.execute(files).fetchall()
        assert len(connection.execute(common, [[*PERSONAL]]).fetchall()) == len(PERSONAL) + 2
        migrations.upgrade(SecretStr(empty_database_url))
        assert connection.execute(common, [[*PERSONAL]]).fetchall() == []
        assert connection.execute(files).fetchall() == before
        connection.execute("ANALYZE")
        assert connection.execute(common, [[*PERSONAL]]).fetchall() == []


def test_an_error_that_repeats_a_value_is_no_common_value_any_more(
    connection: Connection, erase: Erase
) -> None:
    connection.execute(
        "CREATE FUNCTION repeat() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN RAISE EXCEPTION ''no %'', NEW.request_message; END'; CREATE TRIGGER repeat "
        "BEFORE INSERT ON deliveries FOR EACH ROW EXECUTE FUNCTION repeat()"
    )
    process(connection, *(value(n, **WHO) for n in (1, 2, 3)))
    connection.execute("ANALYZE")
    common = "SELECT most_common_vals::text FROM pg_stats WHERE attname = 'error'"
    assert "door code" in str(connection.execute(common).fetchall())
    assert erase("--order", 1, 2, 3) == counted(letters=3)
    assert "door code" not in str(connection.execute(common).fetchall())


# Whose rows are found


NAMED = {
    "another order's number": (b'{"event": {"orderId": 77, "orderedBy": 31}}', True),
    "as text": (b'{"event": {"orderId": "x", "orderedBy" : "31"}}', True),
    "cut off": (b'{"event": {"orderedBy":31, "requestMes', True),
    "serialized twice": (json.dumps('{"event": {"orderedBy": 31}}').encode(), True),
    "with bytes that are no text": (b'\xff{"orderedBy":31}', True),
    "a longer number": (b'{"event": {"orderedBy": 310}}', False),
    "another field": (b'{"event": {"quantity": 31}}', False),
    "somebody else": (b'{"event": {"orderedBy": 3, "quantity": 31}}', False),
    "UTF-16": ('{"event": {"orderedBy": 31}}'.encode("utf-16"), False),
}


@pytest.mark.parametrize(("content", "is_found"), NAMED.values(), ids=NAMED)
def test_a_dead_letter_is_found_by_the_field_in_its_bytes(
    connection: Connection, erase: Erase, content: bytes, is_found: bool
) -> None:
    process(connection, content)
    assert erase("--ordered-by", CUSTOMER) == counted(letters=is_found)
    assert erase("--dead-letter", 1) == counted(letters=not is_found)


UNREADABLE = [
    b'{"event": {"orderId": 1, "requestMes',
    json.dumps('{"event": {"orderId": 1}}').encode(),
    b'{"event": {"orderId": "1"}}',
    b'{"event": {"orderId": 11, "quantity": 1',
    b'{"event": {"orderId": 2, "productId": 1',
]


@pytest.mark.parametrize("criterion", [("--order", 1), ("--ordered-by", CUSTOMER)])
def test_a_letter_whose_order_nobody_could_read_is_found_by_the_field_in_its_bytes(
    connection: Connection, erase: Erase, criterion: tuple[object, ...]
) -> None:
    process(connection, value(1, **WHO), *UNREADABLE)
    assert erase(*criterion) == counted(1, 0, 1, 3)
    left = "SELECT dead_letter_id FROM dead_letters WHERE erasure_id IS NULL ORDER BY 1"
    assert connection.execute(left).fetchall() == [(4,), (5,)]


def test_an_order_is_the_customers_where_any_of_its_records_says_so(
    connection: Connection, erase: Erase
) -> None:
    process(
        connection,
        value(1, 5, orderedBy=CUSTOMER),
        value(1, 9, orderedBy=8),  # the delivery names somebody else now
        value(2, 5, orderedBy=8),
        value(2, 3, orderedBy=CUSTOMER),  # stale
        value(3, 5, orderedBy=8),
        value(3, 5, orderedBy=CUSTOMER),  # a conflict
        value(4, 5, orderedBy=310, quantity=CUSTOMER),
    )
    connection.execute("INSERT INTO deliveries (order_id, event_time, ordered_by) "
                       "VALUES (5, now(), 31)")  # fmt: skip
    assert search.of_customer(connection, CUSTOMER).orders == [1, 2, 3, 5]
    assert erase("--ordered-by", CUSTOMER) == counted(5, 1, 4)


@pytest.mark.usefixtures("functions")
def test_a_letter_that_was_replayed_is_erased_with_the_event_that_it_became(
    connection: Connection, erase: Erase
) -> None:
    ahead = value(1, 12 * 60, **WHO)  # an hour ahead of its record
    process(connection, ahead)
    connection.execute("UPDATE dead_letters SET order_id = NULL")
    lenient = Contract(max_future_skew=at(99999) - at(0))
    ((letter,),) = resolve.replay(connection, lenient, queries.open_ids(connection), TESTER)
    assert letter.resolution == "replayed"
    assert erase("--order", 1) == counted(1, 0, 1, 1)
    ((kept,),) = connection.execute("SELECT resolution || ' ' || error FROM dead_letters")
    assert kept == "replayed erased"


# What comes after it


def test_an_erased_event_that_comes_again_brings_nothing_back(
    connection: Connection, erase: Erase, contents: Contents
) -> None:
    first = [value(1, 5, **WHO), value(1, 5, quantity=3, **WHO), value(1, 9, **WHO), b"{", None]
    process(connection, *first, b'{"event": {"orderId": 1}}')
    connection.execute("UPDATE dead_letters SET order_id = 1")
    erase("--order", 1)
    before = contents()
    assert process(connection, *first) == {"redelivered": 5}
    assert contents() == before
    assert process(connection, value(1, 5, quantity=9, **WHO), first=20) == {"duplicate": 1}
    ((kept,),) = connection.execute("SELECT payload FROM duplicate_events WHERE record_offset = 20")
    assert kept is None
    assert found(connection) == []


def test_a_newer_event_of_an_erased_order_is_processed_as_any_other(
    connection: Connection, erase: Erase
) -> None:
    process(connection, value(1, 5, **WHO))
    erase("--order", 1)
    assert process(connection, value(1, 9, **WHO), value(1, 7, **WHO), first=5) == {
        "updated": 1,
        "stale": 1,
    }
    assert found(connection) == []
    assert connection.execute("SELECT ordered_by FROM deliveries").fetchall() == [(CUSTOMER,)]
    assert erase("--ordered-by", CUSTOMER) == counted(2, 0, 1)
    assert found(connection) == []


def test_a_letter_that_was_erased_is_not_processed_whatever_the_contract_says_by_now(
    connection: Connection, erase: Erase, contents: Contents
) -> None:
    ahead = value(1, 12 * 60, **WHO)
    process(connection, ahead)
    erase("--order", 1)
    before = contents()
    lenient = Contract(max_future_skew=at(99999) - at(0))
    assert +transaction.process(connection, lenient, batch(ahead)) == {"redelivered": 1}
    ((letter,),) = resolve.replay(connection, lenient, [1], TESTER)
    assert letter.resolution == "discarded"
    assert contents() == before


# What comes beside it


@pytest.mark.usefixtures("functions")
def test_an_event_that_a_worker_writes_meanwhile_keeps_its_delivery(
    connection: Connection, database_url: str
) -> None:
    process(connection, value(1, 5, **WHO))
    with database.connect(SecretStr(database_url), "test") as worker:
        with worker.transaction():
            process(worker, value(1, 9, **WHO), first=1)  # a savepoint: not committed
            erasing = threading.Thread(target=_erase, args=(database_url, [1]))
            erasing.start()
            _wait_for_a_lock(connection)
        erasing.join(30)
    erased = "SELECT erasure_id IS NOT NULL FROM processed_events ORDER BY event_time"
    assert connection.execute(erased).fetchall() == [(True,), (False,)]
    assert connection.execute("SELECT ordered_by FROM deliveries").fetchall() == [(CUSTOMER,)]
    assert found(connection) == []


def test_a_worker_that_waits_for_an_erasure_writes_its_event_after_it(
    connection: Connection, database_url: str
) -> None:
    process(connection, value(1, 5, **WHO))
    url = SecretStr(database_url)
    with database.connect(url, "test") as erasing, database.connect(url, "test") as looking:
        with erasing.transaction():
            for _ in Erasure("order", "a test").erase(erasing, [1], []):
                pass  # in a savepoint: not committed
            arguments = (connection, value(1, 9, **WHO))
            writing = threading.Thread(target=process, args=arguments, kwargs={"first": 1})
            writing.start()
            _wait_for_a_lock(looking)
        writing.join(30)
    assert connection.execute("SELECT ordered_by FROM deliveries").fetchall() == [(CUSTOMER,)]
    assert found(connection) == []


@pytest.mark.usefixtures("functions")
def test_workers_and_erasures_of_the_same_orders_leave_no_contradiction(
    connection: Connection, database_url: str
) -> None:
    orders = list(range(1, 9))
    failures = work_and_erase(
        database_url, orders, batches=60, erasures=40, partitions=(0, 1), **WHO
    )
    assert failures == []
    assert found(connection) == []
    _erase(database_url, orders)
    left = "SELECT count(*) FROM processed_events WHERE erasure_id IS NULL"
    assert connection.execute(left).fetchall() == [(0,)]
    assert found(connection) == []


def test_a_portion_is_tried_again_after_a_deadlock(connection: Connection) -> None:
    class Deadlocked(Erasure):
        def _attempt(self, *_: Any) -> Any:
            raise RaceError("deadlock detected")

    with pytest.raises(RaceError, match=r"20 times .*try again"):
        next(Deadlocked("order", "a test").erase(connection, [1], []))


def _erase(url: str, orders: list[int]) -> None:
    with database.connect(SecretStr(url), "test") as own:
        for _ in Erasure("order", "a test").erase(own, orders, []):
            pass


def _wait_for_a_lock(connection: Connection) -> None:
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND wait_event_type = 'Lock'"
    )
    deadline = threading.Event()
    for _ in range(3000):
        if connection.execute(query).fetchone() != (0,):
            return
        deadline.wait(0.01)
    raise AssertionError("nobody waits for a lock")


def test_a_constraint_that_refuses_the_mark_is_one_line(
    connection: Connection, eraser: str, run: Run, contents: Contents
) -> None:
    process(connection, value(1, **WHO))
    connection.execute("ALTER TABLE deliveries ALTER ordered_by SET NOT NULL")
    before = contents()
    code, _, err = run(eraser, "erase", "--order", "1", "--reason", "a test")
    assert (code, err.splitlines()[-1][:41]) == (NO, "delivery: the database refuses the mark (")
    assert contents() == before


# Who may


@pytest.mark.usefixtures("functions")
@pytest.mark.parametrize("statements", FORBIDDEN.values(), ids=FORBIDDEN)
def test_even_the_owner_changes_the_log_in_no_other_way(
    connection: Connection, erase: Erase, contents: Contents, statements: list[str]
) -> None:
    process(connection, value(1, **WHO), value(2, **WHO))
    erase("--order", 2)
    before = contents()
    with pytest.raises(InsufficientPrivilege, match="append-only"):
        connection.execute("; ".join(statements))  # one transaction
    assert contents() == before


FUNCTION = "erase_personal_data('{1}', '{}', 'order', 'a test')"


@pytest.mark.parametrize("kind", ["worker", "announcer", "reader", None])
def test_no_other_role_erases(
    connection: Connection, database_url: str, run: Run, contents: Contents, kind: str | None
) -> None:
    process(connection, value(1, **WHO), value(1), b'{"event": {"orderId": 1}}')
    name = f"{database_url.rpartition('/')[2]}_{kind}".lower()
    connection.execute(f"CREATE ROLE {name} LOGIN")
    url = as_user(name, database_url)
    if kind:
        assert run(database_url, "migrate", f"--{kind}-role", name)[0] == DONE
    before = contents()
    for statement in (
        f"SELECT {FUNCTION}",
        "SELECT forget_statistics()",
        "UPDATE processed_events SET payload = '{}'",
        "UPDATE duplicate_events SET payload = '{}'",
        "UPDATE dead_letters SET record_value = NULL",
        "UPDATE dead_letters SET erasure_id = 1",
        NOTE,
    ):
        with pytest.raises(InsufficientPrivilege), psycopg.connect(url) as own:
            own.execute(statement)
    if kind:
        code, _, err = run(url, "erase", "--order", "1", "--reason", "a test")
        assert (code, err.count("permission denied")) == (USAGE, 1)
    assert contents() == before
    connection.execute(f"DROP OWNED BY {name}")
    connection.execute(f"DROP ROLE {name}")


def test_who_may_erase_may_change_nothing_else(
    connection: Connection, eraser: str, contents: Contents
) -> None:
    process(connection, value(1, **WHO))
    before = contents()
    for statement in (
        "UPDATE processed_events SET outcome = 'stale'",
        "DELETE FROM deliveries",
        "UPDATE deliveries SET ordered_by = NULL",
        "INSERT INTO processed_events SELECT * FROM processed_events",
        "UPDATE dead_letters SET error = ''",
        NOTE,
        "DELETE FROM erasures",
        "SELECT ensure_partitions()",
    ):
        with pytest.raises(InsufficientPrivilege), psycopg.connect(eraser) as own:
            own.execute(statement)
    assert contents() == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "give one of"),
        (["--order", "1", "--ordered-by", "2"], "give one of"),
        (["--ordered-by", "1", "2"], "give one of"),
        (["7"], "give one of"),
        (["--order", "0"], "--order"),
        (["--order", "x"], "--order"),
        (["--ordered-by", "9223372036854775808"], "--ordered-by"),
        (["--order", "1"], "--reason needs a text"),
        (["--order", "1", "--reason", " "], "--reason needs a text"),
    ],
)
def test_a_wrong_argument_is_one_line(run: Run, arguments: list[str], told: str) -> None:
    code, out, err = run("postgresql://nobody@127.0.0.1:1/none", "erase", *arguments)
    assert (code, out, err.count("\n")) == (USAGE, "", 1)
    assert told in err


# What is told of it


def test_pages_answers_and_commands_say_erased(
    connection: Connection, database_url: str, erase: Erase, run: Run
) -> None:
    process(connection, value(1, 5, **WHO), value(1, 9, **WHO), value(1, 5),
            b'{"event": {"orderId": 1}}')  # fmt: skip
    erase("--order", 1)
    with served(database_url) as address, Client(base_url=address, timeout=20) as client:
        order = client.get("/orders/1").text
        letter = client.get("/dead-letters/1").text
        told = client.get("/api/orders/1").json()
    assert order.count("<dd><bdi>erased</bdi></dd>") == len(PERSONAL) + 1  # and a letter's error
    assert order.count("Its personal data was erased") == 4
    assert letter.count(">erased<") >= 2
    assert (told["delivery"]["is_erased"], told["delivery"]["ordered_by"]) == (True, None)
    assert [json.loads(e["payload"])["erased"] for e in told["history"] if e["payload"]] == [
        True
    ] * 3
    assert {event["erasure_id"] is None for event in told["history"]} == {False}
    shown = run(database_url, "dead-letters", "show", "1")[1]
    assert "record_value:     erased\n" in shown
    lines = run(database_url, "history", "1", "--format", "json")[1].splitlines()
    assert [json.loads(line)["payload"]["erased"] for line in lines[:3]] == [True] * 3


def test_a_payload_that_calls_itself_erased_is_none(connection: Connection) -> None:
    mark = {"erased": True, "event": {"orderId": 1}, "createdAt": at(0).isoformat()}
    process(connection, json.dumps(mark).encode())
    assert process(connection, value(1, **WHO), first=1) == {"conflict": 1}
    ((kept,),) = connection.execute("SELECT payload FROM duplicate_events")
    assert kept["event"]["orderedBy"] == CUSTOMER


TAMPERED = {
    "UPDATE deliveries SET ordered_by = 31": ["different_delivery"],
    "ALTER TABLE processed_events DISABLE TRIGGER ALL; "
    "UPDATE processed_events SET payload = '{}'": ["not_erased"],
    "ALTER TABLE processed_events DISABLE TRIGGER ALL; "
    "UPDATE processed_events SET record_headers = '[]'": ["not_erased"],
    "UPDATE duplicate_events SET payload = '{}'": ["not_erased"],
    "UPDATE dead_letters SET record_value = 'x'": ["not_erased"],
    "UPDATE dead_letters SET erasure_id = 99": ["erased_by_nobody"],
    "UPDATE duplicate_events SET erasure_id = 99": ["erased_by_nobody"],
}


@pytest.mark.parametrize(("statement", "kinds"), TAMPERED.items(), ids=TAMPERED)
def test_verify_finds_what_is_not_as_an_erasure_leaves_it(
    connection: Connection, erase: Erase, statement: str, kinds: list[str]
) -> None:
    process(connection, value(1, **WHO), value(1), b'{"event": {"orderId": 1}}')
    erase("--order", 1)
    assert found(connection) == []
    connection.execute(statement)
    assert found(connection) == kinds


def test_there_is_no_way_down_once_something_was_erased(
    connection: Connection, database_url: str, erase: Erase, run: Run
) -> None:
    process(connection, value(1, **WHO))
    erase("--order", 1)
    code, _, err = run(database_url, "downgrade", "0006")
    assert (code, err.count("\n")) == (USAGE, 1)
    assert "rows of the log are erased" in err
