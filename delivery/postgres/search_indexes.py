"""Indexes for whoever looks for events without an order's id. They are built where asked for.

No migration builds them, because each costs the worker time for every record, and most who run this
service know their orders' ids.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import sql
from pydantic import SecretStr

from delivery.errors import SettingsError
from delivery.postgres import database, placement
from delivery.postgres.database import Connection
from delivery.postgres.sqlstate import translated_errors

# The first `eventId` of a payload, as the text between its quotes; something else where there is
# none. It takes every text: `->>` refuses what PostgreSQL's json keeps, such as an escaped NUL, and
# so would an index of it. A regular expression takes ten times as long.
EVENT_ID = """split_part(split_part(payload::text, '"eventId"', 2), '"', 2)"""

EVENT_ID_INDEX = "ix_processed_events_event_id"
ORDERED_BY_INDEX = "ix_deliveries_ordered_by"

# A bloom filter for each 128 pages. A btree of random ids is ten times as large, and each record
# would touch another page of it.
_BRIN = (
    f"USING brin (({EVENT_ID}) text_bloom_ops(n_distinct_per_range = 2500, "
    "false_positive_rate = 0.0001)) WITH (autosummarize = on)"
)

_LOCK_TIMEOUT = "SET lock_timeout = '5s'"

_PARTITIONS = """
SELECT child.relid::regclass::text, c.relname FROM pg_partition_tree('processed_events') AS child
JOIN pg_class AS c ON c.oid = child.relid
WHERE child.isleaf AND NOT EXISTS (
    SELECT FROM pg_index AS i JOIN pg_inherits AS h ON h.inhrelid = i.indexrelid
    WHERE i.indrelid = child.relid AND h.inhparent = to_regclass(%s))
ORDER BY 2
"""

_IS_VALID = """
SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass(%s) AND indisvalid)
"""


def build(url: SecretStr) -> list[str]:
    """Builds the indexes that are missing, beside running workers, and returns their names.

    Each partition's is built by CREATE INDEX CONCURRENTLY, which waits for transactions that are
    open, and locks no row. One that was interrupted is built anew. Raises SettingsError on Citus.
    """
    built = []
    with database.connect(url, "delivery migrate") as connection, translated_errors():
        database.require_migrated(connection)
        placement.require_safe(connection)
        if connection.is_citus:
            raise SettingsError("--search-indexes is for one PostgreSQL: on Citus it does nothing")
        if not is_built(connection, EVENT_ID_INDEX):
            _build_event_id(connection)
            built.append(EVENT_ID_INDEX)
        if not is_built(connection, ORDERED_BY_INDEX):
            _run(connection, "DROP INDEX CONCURRENTLY IF EXISTS {}", ORDERED_BY_INDEX)
            _run(
                connection,
                "CREATE INDEX CONCURRENTLY {} ON deliveries (ordered_by)",
                ORDERED_BY_INDEX,
            )
            built.append(ORDERED_BY_INDEX)
    return built


def is_built(connection: Connection, name: str) -> bool:
    """Whether an index is there, and usable."""
    ((is_valid,),) = connection.execute(_IS_VALID, (name,))
    return bool(is_valid)


@contextmanager
def preferred(connection: Connection) -> Iterator[None]:
    """Within it, in the transaction that is open, the log is read by the index, if there is one.

    The planner does not know how few rows the bloom filter leaves, and reads the whole log.
    """
    if not is_built(connection, EVENT_ID_INDEX):
        yield
        return
    connection.execute("SET LOCAL enable_seqscan = off")
    yield
    connection.execute("SET LOCAL enable_seqscan = on")


def _build_event_id(connection: Connection) -> None:
    # The partitioned index first: partitions that are made from now on have it from the beginning.
    connection.execute(_LOCK_TIMEOUT)
    _run(connection, f"CREATE INDEX IF NOT EXISTS {{}} ON ONLY processed_events {_BRIN}",
         EVENT_ID_INDEX)  # fmt: skip
    for partition, name in connection.execute(_PARTITIONS, (EVENT_ID_INDEX,)).fetchall():
        child = f"{name}_event_id_idx"
        connection.execute("SET lock_timeout = 0")  # it waits for those who are at work
        _run(connection, "DROP INDEX CONCURRENTLY IF EXISTS {}", child)
        _run(connection, f"CREATE INDEX CONCURRENTLY {{}} ON {partition} {_BRIN}", child)
        connection.execute(_LOCK_TIMEOUT)
        _run(connection, "ALTER INDEX {} ATTACH PARTITION {}", EVENT_ID_INDEX, child)


def _run(connection: Connection, statement: str, *names: str) -> None:
    connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
