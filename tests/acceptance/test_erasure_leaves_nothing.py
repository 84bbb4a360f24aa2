"""After an erasure no file of the database holds what was erased, and no replay brings it back."""

import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from kafka import KafkaProducer
from processes import wait_until
from psycopg import sql
from pydantic import SecretStr
from service import Service

from delivery.embedded.postgres import PostgresServer
from delivery.postgres import migrations
from delivery.postgres.tables import metadata

CUSTOMER, ANOTHER = 8812_4471_9034, 17
COMPANY = 9917_3321_5502
TEXT = "UNMISTAKABLE"  # in all that is to be erased

DOCUMENT = Path(__file__).parents[2] / "docs/erasure.md"

# Longer than what stays in a row's page, and of no form that compresses.
LONG = f"{TEXT} {secrets.token_hex(6000)}"


def event(
    order_id: int, minute: int = 0, customer: int = CUSTOMER, **fields: Any
) -> dict[str, Any]:
    order = {
        "orderId": order_id,
        "productId": 7,
        "quantity": 2,
        "orderedBy": customer,
        "supplyCompanyId": COMPANY,
        "requestMessage": f"{TEXT} door code",
        "deliveryLimitedAt": [2026, 1, 4, 0, 0],
    }
    return {"event": order | fields, "createdAt": [2026, 1, 1, 0, minute], "extra": f"{TEXT} extra"}


def neighbour(order_id: int, **fields: Any) -> dict[str, Any]:
    kept = {"requestMessage": "KEPT", "supplyCompanyId": 18} | fields
    return event(order_id, customer=ANOTHER, **kept) | {"extra": "KEPT"}


def written(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


RECORDS = [
    written(event(1)),  # created
    written(event(1, 5, requestMessage=f"{TEXT} newer", nested={f"{TEXT} key": [LONG]})),  # updated
    written(event(1, 3)),  # stale
    written(event(1)),  # duplicate
    written(event(1, requestMessage=f"{TEXT} conflict")),
    written(event(2)) + b"\n",
    written(event(3)).replace(b"KEPT", b"").replace(b" extra", b" \\u0000"),  # JSON, but no jsonb
    written(neighbour(4)),
    written(event(5, quantity="many")),  # rejected, its order known
    written(written(event(6)).decode()),  # serialized twice
    written(event(7))[:-40],  # cut off
    written(event(8, quantity=4000)),  # refused by the database, and replayed
    written(event(9, quantity=5000)),  # refused, and open
    written(neighbour(10, quantity="few")),
    b"no JSON at all",
]


def personal_bytes() -> dict[str, bytes]:
    return {"text": TEXT.encode()} | {
        f"{name} {order}": int.to_bytes(number, 8, order)
        for name, number in (("customer", CUSTOMER), ("company", COMPANY))
        for order in ("little", "big")
    } | {"digits": str(CUSTOMER).encode(), "digits of company": str(COMPANY).encode()}  # fmt: skip


@pytest.fixture
def server(own_postgres: Callable[[], PostgresServer]) -> PostgresServer:
    return own_postgres()


@pytest.fixture
def owner(server: PostgresServer) -> Iterator[psycopg.Connection[Any]]:
    migrations.upgrade(SecretStr(server.url))
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("CREATE ROLE eraser LOGIN")
        yield connection


def publish(service: Service) -> None:
    with closing(KafkaProducer(bootstrap_servers=service.bootstrap_servers)) as producer:
        for value in RECORDS:
            producer.send(
                service.topic,
                value,
                f"{TEXT} key".encode() if TEXT.encode() in value else b"KEPT",
                [("who", f"{TEXT} header".encode())] if TEXT.encode() in value else [],
                partition=0,
                timestamp_ms=round(time.time() * 1000),
            )
        producer.flush()


def files_with(connection: psycopg.Connection[Any], folder: Path) -> dict[str, set[str]]:
    """The files below the data directory's `base` that hold personal bytes, and which."""
    connection.execute("CHECKPOINT")
    found: dict[str, set[str]] = {}
    for file in folder.glob("base/**/*"):
        content = file.read_bytes() if file.is_file() else b""
        if names := {name for name, what in personal_bytes().items() if what in content}:
            found[str(file)] = names
    return found


def others_snapshots(connection: psycopg.Connection[Any]) -> int:
    """How many look at the database, autovacuum among them: VACUUM keeps what they may see."""
    ((number,),) = connection.execute(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid()"
    )
    return int(number)


def documented() -> list[str]:
    """The statements that docs/erasure.md has for this."""
    block = DOCUMENT.read_text().partition("```sql")[2].partition("```")[0]
    return [line.partition(";")[0] for line in block.split("\n") if line]


def rows(connection: psycopg.Connection[Any]) -> dict[str, list[str]]:
    def of(table: str) -> list[str]:
        query = sql.SQL("SELECT xmin::text || t::text FROM {} AS t").format(sql.Identifier(table))
        return sorted(row for (row,) in connection.execute(query))

    return {table: of(table) for table in metadata.tables}


def run(service: Service, url: str, *arguments: str) -> str:
    done = service.command(*arguments, database_url=url)
    assert done.exit_code() == 0, done.stderr()
    return done.stderr()


def test_no_file_holds_what_was_erased_and_no_replay_brings_it_back(
    service: Service, server: PostgresServer, owner: psycopg.Connection[Any]
) -> None:
    publish(service)
    owner.execute(
        "ALTER TABLE deliveries ADD CONSTRAINT few CHECK (quantity < 5000),"
        "ADD CONSTRAINT fewer CHECK (quantity < 4000)"
    )
    assert service.drain(database_url=server.url) == {
        "created": 4, "updated": 1, "stale": 1, "duplicate": 1, "conflict": 1, "rejected": 7,
    }  # fmt: skip
    owner.execute("ALTER TABLE deliveries DROP CONSTRAINT fewer")
    replayed = service.command("dead-letters", "replay", "--all", database_url=server.url)
    assert replayed.exit_code() == 1
    run(service, server.url, "verify")

    owner.execute("VACUUM ANALYZE")
    folder = Path(owner.execute("SHOW data_directory").fetchone()[0])
    before = files_with(owner, folder)
    assert set.union(*before.values()) >= {"text", "customer little", "digits", "digits of company"}

    run(service, server.url, "migrate", "--erasure-role", "eraser")
    as_eraser = server.url.replace("//postgres@", "//eraser@")
    erase = ("erase", "--ordered-by", str(CUSTOMER), "--reason", "request 117")
    run(service, as_eraser, *erase)
    wait_until(lambda: others_snapshots(owner) == 0, "nobody sees the database as it was before")
    for statement in documented():
        owner.execute(statement)
    assert files_with(owner, folder) == {}

    erased = rows(owner)
    assert service.drain(database_url=server.url, kafka_group_id="another") == {
        "redelivered": len(RECORDS)
    }
    left = service.command("dead-letters", "replay", "--all", database_url=server.url)
    assert left.exit_code() == 1  # the neighbour's, and what is no JSON
    run(service, server.url, "verify")
    run(service, as_eraser, *erase)
    assert rows(owner) == erased
    assert files_with(owner, folder) == {}
    ((kept,),) = owner.execute("SELECT count(*) FROM event_history WHERE payload::text ~ 'KEPT'")
    assert kept == 1
