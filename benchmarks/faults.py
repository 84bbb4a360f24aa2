"""Faults that strike all designs alike."""

from collections.abc import Iterable

from psycopg import sql

from benchmarks.contenders import Contender
from benchmarks.environment import Connection

# The error of a moment: it would be gone at the next try. A sequence for each order remembers
# whether it has struck, for what a sequence has given stays given when the transaction rolls back.
# It strikes once for all the orders of a statement: a batch of many fails once, as a single row.
_FAIL_ONCE = """
CREATE FUNCTION fail_once() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    strikes integer;
BEGIN
    SELECT count(*) FILTER (WHERE nextval('strikes_' || order_id) = 1) INTO strikes
    FROM added WHERE to_regclass('strikes_' || order_id) IS NOT NULL;
    IF strikes > 0 THEN
        RAISE EXCEPTION 'a fault of the moment' USING ERRCODE = 'serialization_failure';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER fail_once AFTER INSERT ON {deliveries}
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION fail_once()
"""


def fail_once(connection: Connection, contender: Contender, order_ids: Iterable[int]) -> None:
    """The first insert of a delivery for each of these orders fails."""
    connection.execute(sql.SQL(_FAIL_ONCE).format(deliveries=sql.Identifier(contender.deliveries)))
    for order_id in order_ids:
        name = sql.Identifier(f"strikes_{order_id}")
        connection.execute(sql.SQL("CREATE SEQUENCE {}").format(name))
