"""Dead letters on a real PostgreSQL: which records become one, what is kept, how it is resolved."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from pydantic import SecretStr
from records import RECEIVED, TOPIC, at, batch, record, value

from delivery.domain.event import Contract
from delivery.domain.record import Header, Record
from delivery.errors import DeadLetterRefusedError
from delivery.inbox import transaction
from delivery.inbox.statements import Statements
from delivery.postgres import database
from delivery.postgres.database import Connection

Contents = Callable[[], dict[str, list[str]]]

CONTRACT = Contract()
LENIENT = Contract(max_future_skew=timedelta(days=1))
FUTURE = 12 * 60  # minutes: an event time an hour ahead of the records' own

LETTERS = """
SELECT record_offset, reason, error, order_id, resolution, resolution_note, resolved_at IS NULL
FROM dead_letters ORDER BY record_offset
"""
DELIVERIES = "SELECT order_id, quantity, event_time FROM deliveries ORDER BY order_id"
OUTCOMES = "SELECT record_offset, outcome FROM event_history ORDER BY record_offset"
WRITERS = """
SELECT xmin::text FROM processed_events UNION SELECT xmin::text FROM deliveries
UNION SELECT xmin::text FROM dead_letters
"""


class Refusal(NamedTuple):
    """A rule of the database's own that refuses events with a quantity of 1000 and more."""

    rule: str
    undo: str
    sqlstate: str


_RAISE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'not with us' {using}; END $$;
CREATE TRIGGER rule BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW WHEN ({when})
EXECUTE FUNCTION refuse()
"""
_LARGE = "NEW.quantity >= 1000"
_LARGE_PAYLOAD = "(NEW.payload -> 'event' ->> 'quantity')::integer >= 1000"

REFUSALS = [
    Refusal(
        "ALTER TABLE deliveries ADD CONSTRAINT rule CHECK (quantity < 1000) NOT VALID",
        "ALTER TABLE deliveries DROP CONSTRAINT rule",
        "23514",
    ),
    Refusal(
        _RAISE.format(table="deliveries", when=_LARGE, using=""),
        "DROP TRIGGER rule ON deliveries",
        "P0001",
    ),
    Refusal(
        _RAISE.format(table="deliveries", when=_LARGE, using="USING ERRCODE = '22003'"),
        "DROP TRIGGER rule ON deliveries",
        "22003",
    ),
    Refusal(
        _RAISE.format(table="processed_events", when=_LARGE_PAYLOAD, using=""),
        "DROP TRIGGER rule ON processed_events",
        "P0001",
    ),
]


@pytest.fixture(params=REFUSALS, ids=["check", "trigger", "data exception", "log"])
def refusal(request: pytest.FixtureRequest, connection: Connection) -> Refusal:
    """The database's own rule, in force."""
    refusal: Refusal = request.param
    connection.execute(refusal.rule)
    return refusal


def process(
    connection: Connection, records: Sequence[Record], contract: Contract = CONTRACT
) -> dict[str, int]:
    """Processes a batch and returns the outcomes that occurred in it."""
    return +transaction.process(connection, contract, records)


def rows_of(connection: Connection, query: str) -> list[tuple[Any, ...]]:
    return connection.execute(query).fetchall()


# What is kept


@pytest.mark.parametrize(
    ("key", "content", "headers", "kept"),
    [
        (None, None, [], "[]"),
        (b"", b"", [("a", None)], '[{"key":"a","value":null}]'),
        (b"7", b"{", [("__TypeId__", b"Order")], '[{"key":"__TypeId__","value":"Order"}]'),
        (b"\x00\xff", b"\x00\xfe\xff", [("a", b"\xff\x00")], '[{"key":"a","value_hex":"ff00"}]'),
        (
            "열쇠".encode(),
            "문".encode("utf-16"),
            [("ㄱ", "문\0".encode()), ("ㄱ", b"")],
            r'[{"key":"ㄱ","value":"문\u0000"},{"key":"ㄱ","value":""}]',
        ),
    ],
    ids=["null", "empty", "text", "binary", "korean"],
)
def test_a_rejected_record_is_kept_with_its_bytes(
    connection: Connection,
    key: bytes | None,
    content: bytes | None,
    headers: list[Header],
    kept: str,
) -> None:
    assert process(connection, [record(7, content, 3, key, headers)]) == {"rejected": 1}
    letters = rows_of(
        connection,
        "SELECT record_topic, record_partition, record_offset, record_time, record_key, "
        "record_value, record_headers::text, order_id, resolution FROM dead_letters",
    )
    assert letters == [(TOPIC, 3, 7, RECEIVED, key, content, kept, None, None)]


def test_a_rejected_record_goes_in_the_transaction_of_its_neighbours(
    connection: Connection,
) -> None:
    records = batch(value(1), b"no JSON", value(2), b'{"event": {"orderId": 5}}', value(3))
    assert process(connection, records) == {"created": 3, "rejected": 2}
    assert len(rows_of(connection, WRITERS)) == 1
    assert rows_of(connection, OUTCOMES) == [
        (0, "created"),
        (1, "rejected"),
        (2, "created"),
        (3, "rejected"),
        (4, "created"),
    ]
    reasons = [(row[0], row[1], row[3]) for row in rows_of(connection, LETTERS)]
    assert reasons == [(1, "not_json", None), (3, "missing_field", 5)]


def test_a_batch_of_nothing_but_rejected_records_goes_through(connection: Connection) -> None:
    assert process(connection, batch(None, b"", b"[]")) == {"rejected": 3}


# Rows that only the database refuses


def test_a_refused_row_is_a_dead_letter_with_its_sqlstate_and_its_neighbours_go_through(
    connection: Connection, refusal: Refusal
) -> None:
    records = batch(value(1, quantity=1), value(2, quantity=1000), value(3, quantity=3))
    assert process(connection, records) == {"created": 2, "rejected": 1}
    assert rows_of(connection, DELIVERIES) == [(1, 1, at(0)), (3, 3, at(0))]
    ((offset, reason, error, order_id, *_),) = rows_of(connection, LETTERS)
    assert (offset, reason, order_id) == (1, "refused_by_database", 2)
    assert error.startswith(f"SQLSTATE {refusal.sqlstate}: ")
    letter = rows_of(connection, "SELECT record_value FROM dead_letters")
    assert letter == [(records[1].value,)]


GOOD = [
    value(1, 5, quantity=1),
    value(2, 5, quantity=1),
    value(1, 5, quantity=1),
    value(1, 7, quantity=2),
    b"no JSON",
    value(1, 6, quantity=3),
    value(2, 5, quantity=4),
    value(3, 5, quantity=5),
]


@pytest.mark.usefixtures("refusal")
def test_the_neighbours_of_refused_rows_have_the_outcomes_they_would_have_alone(
    connection: Connection,
) -> None:
    good = [record(10 * n, content) for n, content in enumerate(GOOD)]
    alone = process_and_undo(connection, good)
    for places in ([0], [8], [3, 4], [0, 4, 8], range(9)):
        bad = [record(10 * n - 5, value(100 + n, quantity=1000)) for n in places]
        among = process_and_undo(connection, sorted(good + bad))
        assert [row for row in among if row[0] % 10 == 0] == alone
        assert [row for row in among if row[0] % 10] == [(one.offset, "rejected") for one in bad]


def process_and_undo(connection: Connection, records: Sequence[Record]) -> list[tuple[Any, ...]]:
    with connection.transaction(force_rollback=True):
        process(connection, records)
        return rows_of(connection, OUTCOMES)


@pytest.mark.usefixtures("refusal")
def test_where_the_first_event_of_an_order_is_refused_the_next_one_creates_the_delivery(
    connection: Connection,
) -> None:
    records = batch(value(1, 5, quantity=1000), value(1, 4, quantity=2), value(1, 3, quantity=3))
    assert process(connection, records) == {"rejected": 1, "created": 1, "stale": 1}
    assert rows_of(connection, DELIVERIES) == [(1, 2, at(4))]
    assert rows_of(connection, OUTCOMES) == [(0, "rejected"), (1, "created"), (2, "stale")]


@pytest.mark.usefixtures("refusal")
def test_a_refused_update_leaves_the_delivery_to_the_next_one(connection: Connection) -> None:
    process(connection, batch(value(1, 1, quantity=1)))
    records = batch(value(1, 5, quantity=1000), value(1, 4, quantity=2), first=1)
    assert process(connection, records) == {"rejected": 1, "updated": 1}
    assert rows_of(connection, DELIVERIES) == [(1, 2, at(4))]
    assert rows_of(connection, OUTCOMES) == [(0, "created"), (1, "rejected"), (2, "updated")]


@pytest.mark.usefixtures("refusal")
def test_a_refused_row_that_is_refused_again_changes_nothing(
    connection: Connection, contents: Contents
) -> None:
    records = batch(*GOOD, value(9, quantity=1000), value(10, quantity=1))
    process(connection, records)
    before = contents()
    assert process(connection, records) == {"redelivered": len(records)}
    assert contents() == before


def test_a_refused_row_that_is_accepted_now_is_resolved_as_replayed(
    connection: Connection, refusal: Refusal
) -> None:
    records = batch(value(1, quantity=1000), value(2, quantity=1))
    process(connection, records)
    connection.execute(refusal.undo)
    assert process(connection, records) == {"created": 1, "redelivered": 1}
    assert [row[4] for row in rows_of(connection, LETTERS)] == ["replayed"]
    assert rows_of(connection, OUTCOMES) == [(0, "created"), (1, "created")]


@pytest.mark.usefixtures("refusal")
def test_a_race_beside_a_refused_row_is_decided_again(
    connection: Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, calls = Statements.write, []

    def write_after_a_rival(*arguments: Any) -> list[bool]:
        calls.append(arguments)
        if len(calls) == 3:  # the batch was refused twice, this is its first half: one record
            with database.connect(SecretStr(database_url), "rival") as rival:
                monkeypatch.undo()
                process(rival, [record(0, value(1, 9, quantity=1), partition=1)])
        return write(*arguments)

    monkeypatch.setattr(Statements, "write", write_after_a_rival)
    records = batch(value(1, 5, quantity=1), value(2, quantity=1000))
    assert process(connection, records) == {"stale": 1, "rejected": 1}
    assert rows_of(connection, DELIVERIES) == [(1, 1, at(9))]


# Dead letters that are delivered again


def test_an_open_letter_whose_record_decodes_now_is_replayed_with_its_row(
    connection: Connection,
) -> None:
    records = batch(value(1), value(2, FUTURE), b"no JSON")
    assert process(connection, records) == {"created": 1, "rejected": 2}
    assert process(connection, records, LENIENT) == {"created": 1, "redelivered": 2}
    assert [(row[0], row[4], row[6]) for row in rows_of(connection, LETTERS)] == [
        (1, "replayed", False),
        (2, None, True),
    ]
    assert rows_of(connection, OUTCOMES) == [(0, "created"), (1, "created"), (2, "rejected")]
    writers = rows_of(
        connection,
        "SELECT l.xmin::text, p.xmin::text, d.xmin::text FROM dead_letters l "
        "JOIN processed_events p USING (record_offset) "
        "JOIN deliveries d ON d.order_id = p.order_id",
    )
    assert len(writers) == 1
    assert len(set(writers[0])) == 1


def test_a_replayed_letter_stays_so_whatever_the_contract(
    connection: Connection, contents: Contents
) -> None:
    records = batch(value(2, FUTURE))
    process(connection, records)
    process(connection, records, LENIENT)
    before = contents()
    process(connection, records, LENIENT)
    process(connection, records)
    assert contents() == before


def test_a_replayed_record_may_be_a_duplicate(connection: Connection) -> None:
    process(connection, batch(value(2, FUTURE)))
    process(connection, batch(value(2, FUTURE), first=1), LENIENT)
    assert process(connection, batch(value(2, FUTURE)), LENIENT) == {"duplicate": 1}
    assert rows_of(connection, OUTCOMES) == [(0, "duplicate"), (1, "created")]


def test_a_discarded_letter_stays_discarded_and_its_record_is_not_processed(
    connection: Connection, contents: Contents
) -> None:
    records = batch(value(1, FUTURE), value(2))
    process(connection, records)
    discard(connection)
    before = contents()
    assert process(connection, records, LENIENT) == {"redelivered": 2}
    assert contents() == before


@pytest.mark.parametrize("is_discarded", [True, False])
def test_another_record_at_the_offset_of_a_lost_one_is_processed_whatever_its_letter_says(
    connection: Connection, is_discarded: bool
) -> None:
    """An unclean leader election puts it there; the lost record's letter stays as it is."""
    process(connection, batch(b"no JSON", b"no JSON"))
    if is_discarded:
        discard(connection)
    letters = rows_of(connection, LETTERS)
    later = RECEIVED + timedelta(seconds=1)
    others = [r._replace(time=later) for r in batch(value(1), value(2, FUTURE))]
    assert process(connection, others)["created"] == 1
    assert rows_of(connection, DELIVERIES) == [(1, None, at(0))]
    assert rows_of(connection, LETTERS) == letters


def test_a_letter_that_is_discarded_meanwhile_is_not_processed(
    connection: Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    process(connection, batch(value(1, FUTURE)))
    write = Statements.write

    def write_after_a_discard(*arguments: Any) -> list[bool]:
        monkeypatch.undo()
        with database.connect(SecretStr(database_url), "rival") as rival:
            discard(rival)
        return write(*arguments)

    monkeypatch.setattr(Statements, "write", write_after_a_discard)
    outcomes = process(connection, batch(value(1, FUTURE), value(2)), LENIENT)
    assert outcomes == {"created": 1, "redelivered": 1}
    assert rows_of(connection, DELIVERIES) == [(2, None, at(0))]
    assert [row[4:6] for row in rows_of(connection, LETTERS)] == [("discarded", "a test order")]


def discard(connection: Connection) -> None:
    connection.execute(
        "UPDATE dead_letters SET resolved_at = now(), resolution = 'discarded', "
        "resolution_note = 'a test order'"
    )


# A database that refuses even the dead letter


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (
            "ALTER TABLE dead_letters ADD CONSTRAINT short CHECK (octet_length(record_value) < 9)",
            "SQLSTATE 23514: .*short",
        ),
        (
            "CREATE TRIGGER refuse BEFORE INSERT ON dead_letters FOR EACH ROW "
            "EXECUTE FUNCTION refuse()",
            "SQLSTATE P0001: ",
        ),
        (
            "INSERT INTO dead_letters (dead_letter_id, record_topic, record_partition, "
            "record_offset, record_headers, reason, error) OVERRIDING SYSTEM VALUE "
            "SELECT n, 'others', 0, n, '[]', 'not_json', '' FROM generate_series(1, 50) AS n",
            "SQLSTATE 23505: .*pk_dead_letters",
        ),
    ],
    ids=["a check", "a trigger", "a sequence behind its rows"],
)
@pytest.mark.parametrize("content", [b'{"no": "order"}', value(2, quantity=1000)])
def test_a_dead_letter_that_the_database_refuses_is_named_and_nothing_is_written(
    connection: Connection, contents: Contents, statement: str, told: str, content: bytes
) -> None:
    connection.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql "
        "AS $$ BEGIN RAISE EXCEPTION 'not with us'; END $$"
    )
    connection.execute("ALTER TABLE deliveries ADD CONSTRAINT few CHECK (quantity < 1000)")
    connection.execute(statement)
    before = contents()
    with pytest.raises(DeadLetterRefusedError, match=rf"^record orders/0/1: .*{told}"):
        process(connection, batch(value(1), content, value(3)))
    assert contents() == before
