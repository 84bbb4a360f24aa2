"""The erasure of a distributed log: the migrations' functions, with what Citus runs in their place.

The migrations write the functions once, for one PostgreSQL. Citus refuses a few of their phrases,
and a few mean something else on a node. These are replaced in the functions that are there, after
each migration again, so that whatever else a migration changes is the same with and without Citus.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from psycopg import sql

from delivery.postgres.database import Connection


class Phrase(NamedTuple):
    """What a function says on one PostgreSQL, and what it says on Citus instead."""

    function: str
    alone: str
    on_citus: str


_MARK = "erased_payload(bigint, timestamptz)"
_ERASE = "erase_personal_data(bigint[], bigint[], text, text)"

# A node's transaction has a time of its own, but wrote its row of `erasures` itself. Citus reads no
# `xmin` in a query that it knows to have no rows, so nothing else is asked in the same one.
PHRASES = (
    # It reads no setting but what it sets, and Citus calls nothing less with a row's columns.
    Phrase(_MARK, " STABLE", " IMMUTABLE"),
    # A shard's trigger has the shard's number behind its name.
    Phrase(
        "refuse_change()",
        """tgname = 'erase_only')
       AND EXISTS (SELECT FROM {schema}.erasures WHERE erased_at = transaction_timestamp()) THEN
        RETURN NULL;
    END IF;""",
        """starts_with(tgname::text, 'erase_only')) THEN
        IF EXISTS (SELECT FROM {schema}.erasures WHERE xmin = pg_current_xact_id()::xid) THEN
            RETURN NULL;
        END IF;
    END IF;""",
    ),
    Phrase(
        "erase_only()",
        """
       AND EXISTS (SELECT FROM {schema}.erasures
                   WHERE erasure_id = NEW.erasure_id AND erased_at = transaction_timestamp()) THEN
        RETURN NEW;
    END IF;""",
        """ THEN
        IF NEW.erasure_id IN (SELECT erasure_id FROM {schema}.erasures
                              WHERE xmin = pg_current_xact_id()::xid) THEN
            RETURN NEW;
        END IF;
    END IF;""",
    ),
    Phrase(
        "erase_only()", "erased_at = transaction_timestamp()", "xmin = pg_current_xact_id()::xid"
    ),
    # Citus locks no rows of several shards in one statement, and finds a shard by a value.
    Phrase(
        _ERASE,
        "PERFORM FROM {schema}.deliveries WHERE order_id = ANY(of_orders) "
        "ORDER BY order_id FOR UPDATE;",
        """FOR n IN 1 .. cardinality(of_orders) LOOP
        PERFORM FROM {schema}.deliveries WHERE order_id = of_orders[n] FOR UPDATE;
    END LOOP;""",
    ),
    # The same time, and no function that Citus would have to call on a row's behalf.
    Phrase(_ERASE, "coalesce(resolved_at, now())", "coalesce(resolved_at, this.erased_at)"),
)

# One connection to a node, so that all shards there see the row of `erasures`. Citus makes a
# function anew on the nodes where it has never been, and gives it to everybody.
_ALLOW = """
DO $allow$
DECLARE
    phrase record;
    definition text;
BEGIN
    IF to_regprocedure($q${schema}.{erase}$q$) IS NULL THEN
        RETURN;
    END IF;
    FOR phrase IN SELECT * FROM (VALUES {phrases}) AS given (function, alone, on_citus) LOOP
        definition := pg_get_functiondef(to_regprocedure(phrase.function));
        IF position(phrase.alone IN definition) > 0 THEN
            EXECUTE replace(definition, phrase.alone, phrase.on_citus);
        ELSIF position(phrase.on_citus IN definition) = 0 THEN
            RAISE EXCEPTION '% does not say what is replaced on Citus', phrase.function;
        END IF;
    END LOOP;
    ALTER FUNCTION {schema}.{erase} SET citus.multi_shard_modify_mode = 'sequential';
    REVOKE EXECUTE ON FUNCTION {schema}.{erase} FROM PUBLIC;
    IF NOT EXISTS (
        SELECT FROM pg_trigger
        WHERE tgrelid = $q${schema}.erasures$q$::regclass AND tgname = 'refuse_change'
          AND position('xmin' IN pg_get_triggerdef(oid)) > 0) THEN
        DROP TRIGGER refuse_change ON {schema}.erasures;
        CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON {schema}.erasures
        FOR EACH ROW WHEN (OLD.xmin <> pg_current_xact_id()::xid)
        EXECUTE FUNCTION {schema}.refuse_change();
    END IF;
END $allow$
"""

_IS_ALLOWED = """
SELECT EXISTS (SELECT FROM pg_proc WHERE oid = to_regprocedure({function}) AND provolatile = 'i')
"""


def allow(execute: Callable[[str], Any], schema: str) -> None:
    """Has the functions of that schema, a quoted name, say what Citus runs. Changes nothing twice.

    In a transaction in which Citus may change functions and triggers of distributed tables.
    """
    quoted = (
        f"($q${schema}.{function}$q$, $q${alone.format(schema=schema)}$q$, "
        f"$q${on_citus.format(schema=schema)}$q$)"
        for function, alone, on_citus in PHRASES
    )
    execute(_ALLOW.format(schema=schema, erase=_ERASE, phrases=", ".join(quoted)))


def is_allowed(connection: Connection, schema: str) -> bool:
    """Whether the functions say what Citus runs."""
    function = sql.Literal(f"{sql.Identifier(schema).as_string()}.{_MARK}")
    ((allowed,),) = connection.execute(sql.SQL(_IS_ALLOWED).format(function=function))
    return bool(allowed)
