"""Citus, the distributed PostgreSQL: what a session of ours does otherwise on it.

The log and the deliveries are distributed by order, and the rest lies on the coordinator: see
`distributed`. A session finds out by itself where it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from delivery.errors import RaceError, SettingsError, UnavailableError
from delivery.postgres.sqlstate import first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from delivery.postgres.bulk import Target
    from delivery.postgres.session import Connection

# Citus finds the shards of a look-up by its values, which a generic plan does not have: "could not
# create distributed plan", from the second batch on.
INSTEAD = {"plan_cache_mode": "auto"}

_PLACE = """
SELECT (SELECT groupid FROM pg_dist_local_group),
       (SELECT format('%s:%s', nodename, nodeport) FROM pg_dist_node
        WHERE groupid = 0 ORDER BY noderole <> 'primary' LIMIT 1)
"""


def require_coordinator(connection: Connection) -> None:
    """Raises SettingsError on a node of a cluster that is not its coordinator.

    A node answers, and has the distributed tables, but neither the other logs nor the clock that
    the log's order rests on.
    """
    ((group, coordinator),) = connection.execute(_PLACE)
    if group:
        where = f", {coordinator}," if coordinator else ""
        raise SettingsError(
            f"{connection.info.host}:{connection.info.port} is a node of a Citus cluster: the "
            f"database's URL has to name the cluster's coordinator{where} instead"
        )


def require_machines(error: Exception, is_broken: bool) -> None:
    """Raises UnavailableError where a machine went away beneath the transaction that this ended.

    Citus passes on what a node says as it dies, or its coordinator, as an internal error and in any
    language; what a row is to blame for has its own code, see `write`. A dying coordinator answers
    a command several times too, which psycopg takes for a fault in its own books.
    """
    if is_broken or isinstance(error, psycopg.errors.InternalError_):
        raise UnavailableError(
            f"a node or the coordinator went away: {first_line(error)}"
        ) from error


def write(
    connection: Connection,
    target: Target,
    rows: Sequence[Sequence[Any]],
    copy: Callable[[], None],
) -> None:
    """Writes the rows by `copy`. What a node refuses of a COPY comes without its SQLSTATE.

    Then the rows are written once more by a statement whose errors have theirs. Every unique
    constraint of a distributed table has the order in it, so that a violated one is a race.
    """
    try:
        with connection.transaction():
            copy()
    except psycopg.errors.InternalError_:
        columns = [list(column) for column in zip(*rows, strict=True)]
        try:
            connection.execute(_insert(target), columns)
        except psycopg.errors.UniqueViolation as error:
            raise RaceError(f"a key of {target.table} was taken in between") from error


def _insert(target: Target) -> sql.Composed:
    """RETURNING has the nodes run an INSERT; without it Citus sends them the rows by COPY again.

    No ON CONFLICT: Citus 13.2 counts rows that it left out as written.
    """
    return sql.SQL(
        "INSERT INTO {table} ({names}) SELECT {values} FROM unnest({arrays}) AS e ({names}) "
        "RETURNING 1"
    ).format(
        table=sql.Identifier(target.table),
        names=sql.SQL(", ").join(map(sql.Identifier, target.columns)),
        values=sql.SQL(", ").join(
            sql.SQL(_FROM_BYTES.get(name, "{}")).format(sql.Identifier(name))
            for name in target.columns
        ),
        arrays=sql.SQL(", ").join(
            sql.SQL("%b::{}[]").format(sql.Identifier(kind)) for kind in target.columns.values()
        ),
    )


# COPY takes the bytes of these columns as they are.
_FROM_BYTES = {
    "payload": "convert_from({}, 'UTF8')::json",
    "record_headers": "convert_from({}, 'UTF8')::json",
    "record_topic_id": "encode({}, 'hex')::uuid",
}
