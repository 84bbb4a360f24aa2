"""Whether the role may do what a worker does, and no more than that."""

from collections.abc import Sequence

from delivery.check.line import Line, failed, ok, warning
from delivery.postgres import database
from delivery.postgres.columns import DECIDED, DELIVERY, LETTER, RESOLVED
from delivery.postgres.database import Connection

_TABLES = [
    *[("processed_events", "SELECT"), ("processed_events", "INSERT")],
    *[("duplicate_events", "SELECT"), ("duplicate_events", "INSERT")],
    *[("deliveries", "SELECT"), ("dead_letters", "SELECT"), ("event_history", "SELECT")],
    *[("alembic_version", "SELECT"), ("schema_revisions", "SELECT")],
    *[("outbox_periods", "SELECT"), ("archived_months", "SELECT"), ("archived_offsets", "SELECT")],
]
_OF_ANNOUNCING = [("outbox", "INSERT"), ("outbox_periods", "INSERT")]

_COLUMNS = [
    *[("deliveries", name, "INSERT") for name in DELIVERY],
    *[("deliveries", name, "UPDATE") for name in DELIVERY if name != "order_id"],
    ("deliveries", "updated_at", "UPDATE"),
    *[("dead_letters", name, "INSERT") for name in (*LETTER, *DECIDED)],
    *[("dead_letters", name, "UPDATE") for name in (*DECIDED, *RESOLVED)],
]

_MISSING = """
SELECT wanted || ' on ' || name
FROM unnest(%s::text[], %s::text[]) AS needed (name, wanted)
WHERE NOT has_table_privilege(name, wanted)
UNION
SELECT wanted || ' on ' || name
FROM unnest(%s::text[], %s::text[], %s::text[]) AS needed (name, column_name, wanted)
WHERE NOT has_column_privilege(name, column_name, wanted)
UNION
SELECT 'EXECUTE on ensure_partitions'
WHERE NOT has_function_privilege('ensure_partitions(integer, integer)', 'EXECUTE')
ORDER BY 1
"""

_OWNS = """
SELECT current_user, pg_has_role(relowner, 'MEMBER')
FROM pg_class WHERE oid = to_regclass('processed_events')
"""


def line(connection: Connection, is_announcing: bool) -> Line:
    """What the role lacks, or has too much."""
    tables = [*_TABLES, *(_OF_ANNOUNCING if is_announcing else [])]
    with database.transaction(connection):
        ((role, owns),) = connection.execute(_OWNS)
        needed = [*_lists(tables), *_lists(_COLUMNS)]
        missing = [right for (right,) in connection.execute(_MISSING, needed)]
    migrate = f"as the tables' owner: delivery migrate --worker-role {role}"
    if missing:
        return failed("rights", f"role {role} lacks {', '.join(missing)}", migrate)
    if owns:
        return warning(
            "rights",
            f"role {role} is a superuser or the tables' owner, and could change the log",
            "delivery migrate --worker-role ROLE, and let the workers connect as ROLE",
        )
    return ok("rights", f"role {role} may do what a worker does, and no more")


def _lists(rows: Sequence[tuple[str, ...]]) -> list[list[str]]:
    return [list(column) for column in zip(*rows, strict=True)]
