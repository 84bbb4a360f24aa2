"""The schema that the tables are in, and whether its owner can work in it without danger.

PostgreSQL looks functions and operators up by the types of their arguments, in all schemas of the
`search_path`. Who may create some there can have others run them. So nothing here is looked up
anywhere but in `pg_catalog`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from delivery.errors import SettingsError
from delivery.postgres.database import Connection, transaction

_WITH_TABLES = """
SELECT nspname FROM unnest(%b::name[]) WITH ORDINALITY AS searched (nspname, number)
JOIN pg_namespace USING (nspname)
JOIN pg_class ON relnamespace = pg_namespace.oid AND relname = 'processed_events'
ORDER BY number
"""

# Trusted are those who have the migrating role's rights already, the owners of the schema and of
# the database, and superusers.
_STRANGERS = """
SELECT DISTINCT nspname, owner::regrole::text
FROM (SELECT pronamespace, proowner FROM pg_proc
      UNION ALL SELECT oprnamespace, oprowner FROM pg_operator) AS callable (namespace, owner)
JOIN pg_namespace ON pg_namespace.oid = namespace
JOIN pg_database ON datname = current_database()
WHERE nspname = ANY(%b::name[])
  AND owner NOT IN (nspowner, datdba) AND NOT pg_has_role(owner, current_user, 'MEMBER')
ORDER BY 1, 2 LIMIT 1
"""


@contextmanager
def guarded(connection: Connection) -> Iterator[list[str]]:
    """A transaction that looks everything up in `pg_catalog`: a table is named with its schema.

    Gives the schemas of the session's `search_path` that there are.
    """
    with transaction(connection):
        ((schemas,),) = connection.execute("SELECT current_schemas(false)")
        connection.execute("SET LOCAL search_path = pg_catalog")
        yield schemas


def require_safe(connection: Connection) -> None:
    """Raises SettingsError where a migration would build elsewhere, or run code of strangers."""
    with guarded(connection) as schemas:
        ((role,),) = connection.execute("SELECT current_user")
        if not schemas:
            raise SettingsError(
                f"the search_path of role {role} names no schema that there is: ALTER ROLE {role} "
                "SET search_path = public"
            )
        found = connection.execute(_WITH_TABLES, (schemas,)).fetchone()
        if found and found[0] != schemas[0]:
            raise SettingsError(
                f"the tables are in schema {found[0]}, and the search_path of role {role} would "
                f"have them built again in {schemas[0]}: ALTER ROLE {role} SET search_path = "
                f"{found[0]}"
            )
        for schema, owner in connection.execute(_STRANGERS, (schemas,)):
            raise SettingsError(
                f"schema {schema} has functions or operators of role {owner}, which a migration "
                f"could run with the rights of {role}: drop them, or give the tables a schema of "
                "their own"
            )
