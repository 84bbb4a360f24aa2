"""The rights of those who are not the owner: a worker, an announcer, one who only looks, one who
erases, and one who acts from the pages.
"""

from typing import Literal

import psycopg
from psycopg import sql
from pydantic import SecretStr

from delivery.errors import SettingsError
from delivery.postgres import database, placement, session
from delivery.postgres.columns import DECIDED, DELIVERY, LETTER, RESOLVED
from delivery.postgres.database import Connection

Kind = Literal["worker", "announcer", "reader", "erasure", "operator"]

# What each kind of role may do. Nobody but the owner may change or shorten the log: a dead letter
# keeps the record as it came, and is open at first. A delivery's status is for other services to
# move, also at its insert. A version before gave the right to insert any column.
_WORKER = """
        REVOKE INSERT ON {deliveries}, {dead_letters} FROM {role};
        GRANT SELECT ON {deliveries}, {dead_letters} TO {role};
        GRANT SELECT, INSERT ON {processed_events}, {duplicate_events} TO {role};
        GRANT INSERT ({of_delivery}), UPDATE ({of_events}, updated_at) ON {deliveries} TO {role};
        GRANT INSERT ({of_letter}), UPDATE ({of_resolution}) ON {dead_letters} TO {role};
        GRANT SELECT ON {event_history}, {alembic_version}, {schema_revisions} TO {role};
        GRANT EXECUTE ON FUNCTION {ensure_partitions}(integer, integer) TO {role};
        GRANT INSERT ON {outbox} TO {role};
        GRANT SELECT, INSERT ON {outbox_periods} TO {role};
        GRANT SELECT ON {archived_months}, {archived_offsets} TO {role};
"""

_GRANTS = {
    "worker": _WORKER,
    "operator": _WORKER
    + """
        GRANT SELECT, INSERT, UPDATE (done, progressed_at, ended_at, error)
            ON {operator_actions} TO {role};
    """,
    "announcer": """
        GRANT SELECT, DELETE ON {outbox} TO {role};
        GRANT SELECT, INSERT ON {announcements} TO {role};
        GRANT SELECT, INSERT, UPDATE ON {announced_positions} TO {role};
        GRANT SELECT ON {outbox_periods}, {alembic_version}, {schema_revisions} TO {role};
        GRANT UPDATE (switched_off_at) ON {outbox_periods} TO {role};
    """,
    "reader": """
        GRANT SELECT ON {processed_events}, {duplicate_events}, {deliveries}, {dead_letters},
                        {event_history}, {alembic_version}, {schema_revisions}, {outbox},
                        {announcements}, {announced_positions}, {outbox_periods},
                        {erasures}, {archived_months}, {archived_offsets}, {operator_actions}
            TO {role};
    """,
    "erasure": """
        GRANT SELECT ON {processed_events}, {duplicate_events}, {deliveries}, {dead_letters},
                        {alembic_version}, {schema_revisions}, {erasures} TO {role};
        GRANT EXECUTE ON FUNCTION {erase_personal_data}(bigint[], bigint[], text, text),
                                  {forget_statistics}() TO {role};
    """,
}

# Citus sends a node the defaults of the columns that an insert leaves out, and so inserts them all.
_GRANT_ON_CITUS = "GRANT INSERT ON {schema}.deliveries TO {role}"

_NAMES = (
    "processed_events", "duplicate_events", "deliveries", "dead_letters", "event_history",
    "alembic_version", "schema_revisions", "outbox", "announcements", "announced_positions",
    "outbox_periods", "erasures", "archived_months", "archived_offsets", "ensure_partitions",
    "erase_personal_data", "forget_statistics", "operator_actions",
)  # fmt: skip

# Two who grant on the same table at once would fail with "tuple concurrently updated".
_TAKE_TURNS = "SELECT pg_advisory_xact_lock(hashtext('delivery.grant'))"

_MAY = """
SELECT pg_has_role(%(role)s, relowner, 'MEMBER'),
       has_schema_privilege(%(role)s, %(schema)s, 'CREATE')
FROM pg_class
WHERE relname = 'processed_events' AND relnamespace = (
    SELECT oid FROM pg_namespace WHERE nspname = %(schema)s)
"""

_HAS_BY_DEFAULT = """
SELECT coalesce((SELECT setconfig FROM pg_db_role_setting
                 WHERE setdatabase = 0 AND setrole = %s::regrole), '{}')
"""


def grant(url: SecretStr, kind: Kind, role: str) -> None:
    """Gives an existing role the rights of its kind, in the first schema of the search_path.

    Raises SettingsError where there is no such role, where it could change the log anyway, or where
    it could have others run code of its own.
    """
    with (
        database.connect(url, "delivery migrate") as connection,
        placement.guarded(connection) as (schema, *_),
    ):
        connection.execute(_TAKE_TURNS)
        _require_harmless(connection, schema, role)
        named = {"role": sql.Identifier(role), "schema": sql.Identifier(schema)}
        connection.execute(
            sql.SQL("GRANT USAGE ON SCHEMA {schema} TO {role};" + _GRANTS[kind]).format(
                of_delivery=_listed(list(DELIVERY)),
                of_events=_listed([name for name in DELIVERY if name != "order_id"]),
                of_letter=_listed([*LETTER, *DECIDED]),
                of_resolution=_listed([*DECIDED, *RESOLVED]),
                **named,
                **{name: sql.Identifier(schema, name) for name in _NAMES},
            )
        )
        if kind in {"worker", "operator"} and connection.is_citus:
            connection.execute(sql.SQL(_GRANT_ON_CITUS).format(**named))
            _set_on_nodes(connection, role)


def _require_harmless(connection: Connection, schema: str, role: str) -> None:
    try:
        ((owns, may_create),) = connection.execute(_MAY, {"role": role, "schema": schema})
    except psycopg.errors.UndefinedObject as error:
        raise SettingsError(f"there is no role {role!r}: create it first") from error
    if owns:
        raise SettingsError(
            f"role {role!r} is a superuser, or the tables' owner or a member of it, and could "
            "change the log: create another one"
        )
    if may_create:
        raise SettingsError(
            f"role {role!r} may create functions in schema {schema}, which others would run: "
            f'REVOKE CREATE ON SCHEMA "{schema}" FROM PUBLIC, "{role}"'
        )


def _set_on_nodes(connection: Connection, role: str) -> None:
    """Citus sends a role's defaults to the nodes. Those that it has already are not set again."""
    (found,) = connection.execute(_HAS_BY_DEFAULT, (role,))
    wanted = [
        sql.SQL("ALTER ROLE {} SET {} = {}").format(
            sql.Identifier(role), sql.Identifier(name), sql.Literal(value)
        )
        for name, value in session.of_role_on_nodes().items()
        if f"{name}={value}" not in found[0]
    ]
    try:
        for statement in wanted:
            connection.execute(statement)
    except psycopg.errors.InsufficientPrivilege as error:
        raise SettingsError(
            f"role {role!r} needs defaults on the cluster's nodes, which {connection.info.user} "
            f"may not set. Have a superuser run: {'; '.join(s.as_string() for s in wanted)}"
        ) from error


def _listed(names: list[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))
