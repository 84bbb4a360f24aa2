"""What a delivery costs, whose status others move twice: its table's fillfactor, and its index."""

from benchmarks.environment import Connection
from benchmarks.row_cost.server import Meter, one, say

FILLFACTORS = (100, 95, 90, 80)
PORTION = 500  # orders whose status is moved in a transaction, anywhere among
WINDOW = 50_000  # orders that arrived one after the other
VACUUM_EVERY = 200  # portions; autovacuum would come when a fifth of the table has changed

_ARRIVED = """
INSERT INTO d (order_id, event_time) SELECT order_id, event_time FROM processed_events
ORDER BY consumed_at, order_id
"""
_COPIED = "INSERT INTO d SELECT * FROM deliveries ORDER BY created_at, order_id"
_NUMBERED = f"""
CREATE TABLE numbered AS
SELECT order_id, row_number() OVER (ORDER BY n / {WINDOW}, hashint8(order_id)) AS n
FROM (SELECT order_id, row_number() OVER (ORDER BY created_at, order_id) AS n FROM deliveries) AS d
"""  # noqa: S608
_MOVED = """
UPDATE d SET status = '{status}', updated_at = now() FROM numbered
WHERE n BETWEEN {first} AND {last} AND d.order_id = numbered.order_id
"""
_HOT = "SELECT pg_stat_get_tuples_hot_updated('d'::regclass)"


def report(connection: Connection, rows: int) -> None:
    """Prints a line for each fillfactor."""
    say(f"\n### {rows:,} deliveries\n")
    connection.execute("CREATE TABLE d (LIKE deliveries INCLUDING ALL)")
    connection.execute(_ARRIVED)
    index = one(connection, "SELECT pg_indexes_size('d')")
    say(f"The primary key, filled in the order of arrival: {index / rows:.1f}.\n")
    say("| fillfactor | table, new | table, moved twice | primary key | HOT | WAL | CPU |")
    say("|---|---:|---:|---:|---:|---:|---:|")
    connection.execute("DROP TABLE d")
    connection.execute(_NUMBERED)
    connection.execute("CREATE INDEX ON numbered (n)")
    connection.execute("ANALYZE numbered")
    for fillfactor in FILLFACTORS:
        say(_measured(connection, rows, fillfactor))
    connection.execute("DROP TABLE d, numbered")


def _measured(connection: Connection, rows: int, fillfactor: int) -> str:
    connection.execute("DROP TABLE IF EXISTS d")
    connection.execute("CREATE TABLE d (LIKE deliveries INCLUDING ALL)")
    connection.execute(f"ALTER TABLE d SET (fillfactor = {fillfactor})")
    connection.execute(_COPIED)
    connection.execute("VACUUM (ANALYZE) d")
    new = one(connection, "SELECT pg_relation_size('d')")
    meter = Meter(connection)
    for status in ("dispatched", "delivered"):
        _move(connection, rows, status)
    cpu, wal = meter.read()
    connection.execute("SELECT pg_stat_force_next_flush()")
    table, index, hot = (
        one(connection, query)
        for query in ("SELECT pg_relation_size('d')", "SELECT pg_indexes_size('d')", _HOT)
    )
    return (
        f"| {fillfactor} | {new / rows:.0f} | {table / rows:.0f} | {index / rows:.1f} | "
        f"{hot / rows / 2:.0%} | {wal / rows / 2:.0f} | {cpu / rows / 2 * 1e6:.1f} |"
    )


def _move(connection: Connection, rows: int, status: str) -> None:
    for portion, first in enumerate(range(1, rows + 1, PORTION), start=1):
        last = first + PORTION - 1
        connection.execute(_MOVED.format(status=status, first=first, last=last))
        if portion % VACUUM_EVERY == 0:
            connection.execute("VACUUM d")
