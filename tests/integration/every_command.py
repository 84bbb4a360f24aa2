"""What each command reads and a worker writes, and defaults that must make no difference to it."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any
from urllib.request import urlopen

import psycopg
from letters import TESTER
from psycopg import sql
from pydantic import SecretStr
from records import record, value
from served import served, without_ages

from delivery.dead_letters import queries, resolve
from delivery.domain.event import Contract
from delivery.inbox import transaction
from delivery.inbox.dead_letters import Resolver
from delivery.postgres.database import Session

Run = Callable[..., tuple[int, str, str]]
Rows = list[tuple[Any, ...]]
Said = dict[tuple[str, ...], tuple[int, str, str]]

AGE = timedelta(seconds=45)

READS = [
    ("history",),
    ("history", "--format", "json"),
    ("history", "--format", "csv", "--since", "2026-01-01"),
    ("history", "1001", "--outcome", "conflict"),
    ("stats", "--format", "json"),
    ("dead-letters", "list", "--all", "--format", "json"),
    *(("dead-letters", "show", str(number)) for number in range(1, 5)),
    ("verify", "--database-only"),
    ("migrate",),
]

PAGES = ("/orders/1001", "/api/orders/1001", "/api/dead-letters", "/dead-letters/3", "/readyz")


def read(run: Run, url: str) -> Said:
    answers = {command: run(url, *command) for command in READS}
    with served(url, web_show_personal_data=True) as address:
        for path in PAGES:
            with urlopen(address + path, timeout=30) as answer:
                answers[path,] = answer.status, without_ages(answer.read().decode()), ""
    return answers


BYTES = bytes(range(256)) + rb"\\ \x41 \101 NULL {} '' \""

WRITTEN = [
    value(1),
    value(2, 5, requestMessage="NULL", deliveryLimitedAt=[2026, 3, 4, 5, 6, 7, 8000]),
    value(2, 9),
    value(2, 1),
    value(1),
    value(1, quantity=3),
    BYTES,
    None,
]

ROWS = [
    "SELECT order_id, event_time, outcome, payload::text, record_offset, "
    "record_headers::text FROM processed_events",
    "SELECT order_id, request_message, delivery_limited_at, event_time FROM deliveries",
    "SELECT record_offset, payload_differs, payload::text FROM duplicate_events",
    "SELECT record_offset, record_key, record_value, record_headers, reason, error, "
    "resolution_note FROM dead_letters",
]


KEYS = (None, BYTES)
HEADERS = ([], [("NULL", None), ("a", BYTES), ("\\", b"NULL")])
RECORDS = [
    record(n, content, key=KEYS[n % 2], headers=HEADERS[n % 2]) for n, content in enumerate(WRITTEN)
]


def write(url: str) -> None:
    """Has a worker write a row of each kind, and read all records again."""
    worker = Session(SecretStr(url), AGE)
    assert transaction.process(worker.connection(), Contract(), RECORDS)["created"] == 2
    assert transaction.process(worker.connection(), Contract(), RECORDS)["redelivered"] == 8
    first, second = queries.open_ids(worker.connection(), None)
    ((letter,),) = resolve.replay(worker.connection(), Contract(), [first], TESTER)
    assert letter.resolution is None
    resolve.discard(worker.connection(), [second], Resolver("O'Neil", r"it's \x41"))
    worker.drop()


def rows(connection: psycopg.Connection[Any]) -> list[Rows]:
    return [connection.execute(f"{query} ORDER BY 1, 2", binary=True).fetchall() for query in ROWS]


# Each of them in the way of somebody who relies on what PostgreSQL has out of the box.
DEFAULTS = {
    "times": {
        "DateStyle": "SQL, DMY",
        "IntervalStyle": "sql_standard",
        "TimeZone": "Asia/Seoul",
        "timezone_abbreviations": "India",
        "extra_float_digits": "-15",
    },
    "times that end in a zone": {"DateStyle": "German", "TimeZone": "America/St_Johns"},
    "times with names": {"DateStyle": "Postgres, MDY", "IntervalStyle": "iso_8601"},
    "texts": {
        "array_nulls": "off",
        "backslash_quote": "off",
        "bytea_output": "escape",
        "client_encoding": "LATIN1",
        "escape_string_warning": "off",
        "lc_messages": "C.UTF-8",
        "lc_monetary": "C.UTF-8",
        "lc_numeric": "C.UTF-8",
        "lc_time": "C.UTF-8",
        "quote_all_identifiers": "on",
        "standard_conforming_strings": "off",
        "transform_null_equals": "on",
        "xmlbinary": "hex",
        "xmloption": "document",
    },
    "bytes for texts": {"client_encoding": "SQL_ASCII"},
    "a planner": {
        "constraint_exclusion": "on",
        "cursor_tuple_fraction": "0.001",
        "debug_parallel_query": "on",
        "enable_indexscan": "off",
        "enable_nestloop": "off",
        "enable_partition_pruning": "off",
        "enable_seqscan": "off",
        "from_collapse_limit": "1",
        "geqo_threshold": "2",
        "jit": "on",
        "jit_above_cost": "0",
        "jit_inline_above_cost": "0",
        "jit_optimize_above_cost": "0",
        "join_collapse_limit": "1",
        "plan_cache_mode": "force_custom_plan",
        "work_mem": "64kB",
    },
    "one transaction after the other": {
        "default_transaction_deferrable": "on",
        "default_transaction_isolation": "serializable",
    },
    "one moment": {"default_transaction_isolation": "repeatable read"},
    "no time": {
        "idle_in_transaction_session_timeout": "300",
        "idle_session_timeout": "1000",  # a busy machine needs as long to say more than hello
        "lock_timeout": "1",
        "statement_timeout": "300",
        "transaction_timeout": "300",
    },
    "errors": {
        "check_function_bodies": "off",
        "client_min_messages": "error",
        "exit_on_error": "on",
        "log_statement": "all",
        "plpgsql.check_asserts": "off",
        "plpgsql.extra_errors": "all",
        "plpgsql.variable_conflict": "use_column",
        "restrict_nonsystem_relation_kind": "view, foreign-table",
    },
    "other names in functions": {"plpgsql.variable_conflict": "use_variable"},
    "places on a disk": {
        "default_table_access_method": "heap",
        "default_tablespace": "pg_default",
        "default_toast_compression": "pglz",
        "temp_tablespaces": "pg_default",
        "temp_buffers": "100",
    },
    "nothing to be seen": {
        "synchronize_seqscans": "off",
        "track_activities": "off",
        "track_counts": "off",
        "update_process_title": "off",
    },
    "no patience with a disk": {"synchronous_commit": "off"},
}


def as_user(name: str, url: str) -> str:
    _, _, server = url.partition("@")
    return f"postgresql://{name}@{server}"


def set_defaults(connection: psycopg.Connection[Any], defaults: Mapping[str, str]) -> None:
    """Sets defaults of the database, for the sessions that begin from now on."""
    name = sql.Identifier(connection.info.dbname)
    for setting, default in defaults.items():
        statement = f"ALTER DATABASE {{}} SET {setting} = {default!r}"
        connection.execute(sql.SQL(statement).format(name))


def reset_defaults(connection: psycopg.Connection) -> None:
    name = sql.Identifier(connection.info.dbname)
    connection.execute(sql.SQL("ALTER DATABASE {} RESET ALL").format(name))
