"""The log and the deliveries on a Citus cluster: distributed by order, an order's rows together.

The log's partitions go with it. What is small stays on the coordinator, whose clock the log's order
rests on; `erasures` goes to every node, because the triggers of the log read it there.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from psycopg import sql
from pydantic import SecretStr

from delivery.errors import SettingsError
from delivery.postgres import database, distributed_erasure, placement
from delivery.postgres.database import Connection

APPLICATION = "delivery migrate"
SHARDS = 8


class Distribution(NamedTuple):
    """Over how many shards the log is distributed, and on how many nodes they are."""

    shards: int
    nodes: int

    def __str__(self) -> str:
        return f"distributed over {self.shards} shards on {self.nodes} nodes"


# In this order: the log's shards are where those of the deliveries are.
_DISTRIBUTE = {
    "deliveries": "create_distributed_table({table}, 'order_id', shard_count => {shards}, "
    "colocate_with => 'none')",
    "processed_events": "create_distributed_table({table}, 'order_id', "
    "colocate_with => {deliveries})",
    "erasures": "create_reference_table({table})",
}

_FOUND = """
SELECT count(*), count(DISTINCT groupid) FROM pg_dist_shard JOIN pg_dist_placement USING (shardid)
WHERE logicalrelid = to_regclass({table})
"""

_NODES = """
SELECT count(*) FILTER (WHERE shouldhaveshards AND isactive), bool_or(groupid = 0)
FROM pg_dist_node WHERE noderole = 'primary'
"""

_SESSIONS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = ANY(%b::text[])
"""

# A table and its partitions; and what refuses to empty them (32: TG_TRUNCATE).
_TREE = """
SELECT {table}::regclass AS relid UNION SELECT relid FROM pg_partition_tree({table})
"""
_HAS_ROWS = f"SELECT bool_or(pg_relation_size(relid) > 0) FROM ({_TREE}) AS tree"  # noqa: S608
_REFUSING = f"""
SELECT tgrelid::regclass::text, tgname FROM pg_trigger JOIN ({_TREE}) AS tree ON relid = tgrelid
WHERE tgtype & 32 > 0 AND NOT tgisinternal
"""  # noqa: S608
_CLEAR = "SELECT truncate_local_data_after_distributing_table({table})"

# Citus otherwise refuses a table that has triggers.
_ALLOW_TRIGGERS = "SET LOCAL citus.enable_unsafe_triggers = on"

# Then functions can be changed in the transaction that changes distributed tables.
_ONE_AFTER_THE_OTHER = "SET LOCAL citus.multi_shard_modify_mode = 'sequential'"

# Whoever calls the function makes a partition, with the trigger that keeps each shard append-only.
_ALLOW_PARTITIONS = """
DO $$
BEGIN
    IF to_regprocedure('{schema}.ensure_partitions(integer, integer)') IS NOT NULL THEN
        ALTER FUNCTION {schema}.ensure_partitions(integer, integer)
        SET citus.enable_unsafe_triggers = on;
    END IF;
END $$
"""

# How long a node whose host vanished is waited for: Linux sends what is not acknowledged for a
# quarter of an hour. Who may not see the setting gets no row.
_WAITS_LONG = """
SELECT setting FROM pg_settings
WHERE name = 'citus.node_conninfo' AND position('tcp_user_timeout' IN setting) = 0
"""
_NOT_SO_LONG = (
    "connect_timeout=5 keepalives_idle=10 keepalives_interval=3 keepalives_count=3 "
    "tcp_user_timeout=10000"
)

_IS_CITUS = "SELECT to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL"
_SCHEMA = """
SELECT relnamespace::regnamespace::text FROM pg_dist_partition JOIN pg_class ON oid = logicalrelid
WHERE relname = 'processed_events' AND relnamespace = current_schema()::regnamespace
"""


def find(url: SecretStr) -> Distribution | None:
    """How the log is distributed. None: it is not."""
    with database.connect(url, APPLICATION) as connection:
        if not connection.is_citus:
            return None
        with placement.guarded(connection) as schemas:
            return _found(connection, schemas[0], "processed_events") if schemas else None


def warnings(url: SecretStr) -> list[str]:
    """What a superuser should set on the coordinator, as far as this role can see it."""
    with database.connect(url, APPLICATION) as connection:
        return [
            "a node whose host vanishes would be waited for up to a quarter of an hour: ALTER "
            f"SYSTEM SET citus.node_conninfo = '{conninfo} {_NOT_SO_LONG}'; SELECT pg_reload_conf()"
            for (conninfo,) in connection.execute(_WAITS_LONG)
        ]


def require_erasable(connection: Connection) -> None:
    """Raises SettingsError where a version that could not erase there has distributed the log."""
    if not connection.is_citus:
        return
    with placement.guarded(connection) as (schema, *_):
        is_distributed = _found(connection, schema, "processed_events")
        if is_distributed and not distributed_erasure.is_allowed(connection, schema):
            raise SettingsError(
                "the log was distributed by a version that could not erase there: run `delivery "
                "migrate` once as the tables' owner, and nothing is erased until then"
            )


def distribute(url: SecretStr, shards: int) -> Distribution:
    """Distributes the tables, with the rows that they hold, in one transaction.

    Leaves alone what is distributed already. Raises SettingsError without a cluster, or while
    workers are connected: their sessions plan their statements otherwise.
    """
    with database.connect(url, APPLICATION) as connection:
        _require_cluster(connection)
        with placement.guarded(connection) as (schema, *_):
            connection.execute("SET LOCAL lock_timeout = '5s'")
            missing = [name for name in _DISTRIBUTE if not _found(connection, schema, name)]
            if missing:
                _require_nobody(connection)
            # Before anything runs on several shards at once: Citus changes no function after that.
            connection.execute(_ALLOW_TRIGGERS)
            ((quoted,),) = connection.execute("SELECT quote_ident(%s)", (schema,))
            _allow(connection.execute, quoted)
            for name in missing:
                _distribute(connection, schema, name, shards)
            found = _found(connection, schema, "processed_events")
            assert found is not None  # noqa: S101 (the statement before made it so)
            return found


@contextmanager
def migrating(execute: Callable[[str], Any]) -> Iterator[None]:
    """A migration of tables that are distributed, or not: its triggers are on every shard."""
    schema = None
    if execute(_IS_CITUS).scalar_one():
        schema = execute(_SCHEMA).scalar_one_or_none()
    if schema is not None:
        execute(_ALLOW_TRIGGERS)
        execute(_ONE_AFTER_THE_OTHER)
    yield
    if schema is not None:
        _allow(execute, schema)


def _allow(execute: Callable[[str], Any], schema: str) -> None:
    execute(_ALLOW_PARTITIONS.format(schema=schema))
    distributed_erasure.allow(execute, schema)


def _found(connection: Connection, schema: str, name: str) -> Distribution | None:
    table = sql.Literal(_named(schema, name))
    ((shards, nodes),) = connection.execute(sql.SQL(_FOUND).format(table=table))
    return Distribution(shards, nodes) if shards else None


def _require_cluster(connection: Connection) -> None:
    if not connection.is_citus:
        raise SettingsError(
            "--distributed needs Citus, which this database has not: CREATE EXTENSION citus, here "
            "and in the database of that name on each node"
        )
    ((nodes, knows_coordinator),) = connection.execute(_NODES)
    if not knows_coordinator:
        raise SettingsError(
            "the nodes do not know their coordinator: SELECT citus_set_coordinator_host('HOST', "
            "PORT), with an address at which they reach it"
        )
    if not nodes:
        raise SettingsError(
            "the cluster has no node that may hold shards: SELECT citus_add_node('HOST', PORT)"
        )


def _require_nobody(connection: Connection) -> None:
    names = [database.APPLICATION, database.ANNOUNCER]
    ((number,),) = connection.execute(_SESSIONS, (names,))
    if number:
        raise SettingsError(
            f"{number} sessions of workers or announcers are connected: stop them first, and start "
            "them again afterwards"
        )


def _distribute(connection: Connection, schema: str, name: str, shards: int) -> None:
    table = sql.Literal(_named(schema, name))
    given: Mapping[str, sql.Composable] = {
        "table": table,
        "deliveries": sql.Literal(_named(schema, "deliveries")),
        "shards": sql.Literal(shards),
    }
    lock = sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE")
    connection.execute(lock.format(sql.Identifier(schema, name)))
    connection.execute(sql.SQL(f"SELECT {_DISTRIBUTE[name]}").format(**given))
    ((has_rows,),) = connection.execute(sql.SQL(_HAS_ROWS).format(table=table))
    if has_rows:
        _clear(connection, table)


def _clear(connection: Connection, table: sql.Literal) -> None:
    """Removes the rows that Citus has copied to the shards and left behind, where nobody sees them.

    Nobody else can write until the end of this transaction, in which the log is not append-only.
    """
    refusing = connection.execute(sql.SQL(_REFUSING).format(table=table)).fetchall()
    for verb in ("DISABLE", "ENABLE"):
        for partition, trigger in refusing:
            switch = sql.SQL(f"ALTER TABLE {partition} {verb} TRIGGER {{}}")
            connection.execute(switch.format(sql.Identifier(trigger)))
        if verb == "DISABLE":
            connection.execute(sql.SQL(_CLEAR).format(table=table))


def _named(schema: str, name: str) -> str:
    return sql.Identifier(schema, name).as_string()
