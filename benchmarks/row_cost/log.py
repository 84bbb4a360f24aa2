"""Rows of the log by COPY into a table of each way: bytes, write-ahead log, CPU."""

from collections.abc import Mapping, Sequence
from math import nan
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.environment import Connection
from benchmarks.row_cost.server import Meter, one, say
from benchmarks.row_cost.ways import AS_THEY_ARE, BY_ALIGNMENT, INSTEAD, WAYS, Case


class Cost(NamedTuple):
    """Of one row: bytes, and CPU in microseconds."""

    table: float
    primary_key: float
    other_indexes: float
    wal: float
    cpu: float

    @property
    def disk(self) -> float:
        return self.table + self.primary_key + self.other_indexes


def report(connection: Connection, folder: Path, case: Case, rows: int, rounds: int) -> None:
    """Prints a line for each way, all of them measured in turn."""
    length = one(
        connection,
        f"SELECT avg(octet_length(({case.payload})::text)) "  # noqa: S608
        "FROM (SELECT * FROM processed_events LIMIT 1000) AS l",
    )
    say(f"\n### {rows:,} rows, {case.ids} ids, payloads of {length:.0f} bytes\n")
    has_lz4 = one(connection, _HAS_LZ4)
    ways = [way for way in case.ways if has_lz4 or "lz4" not in way]
    for way in {_file(folder, way): way for way in ways}.values():
        _dump(connection, folder, way, case.payload)
    costs: dict[str, list[Cost]] = {way: [] for way in ways}
    _measure(connection, folder, ways[0], rows)  # the first one is slower
    for number in range(rounds):
        for way in ways[number:] + ways[:number]:
            costs[way].append(_measure(connection, folder, way, rows))
    _print(costs)
    connection.execute("REINDEX TABLE t")
    key = one(connection, "SELECT pg_relation_size('t_pkey')")
    say(f"\nThe last table's primary key after REINDEX: {key / rows:.1f}.")


_HAS_LZ4 = "SELECT 'lz4' = ANY(enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"


def _dump(connection: Connection, folder: Path, way: str, payload: str) -> None:
    """The rows in a file, in the order in which workers write them: by batch, then by key."""
    columns = [INSTEAD.get(way, {}).get(c, c) for c in _columns(way)]
    columns = [f"{payload} AS payload" if c == "payload" else c for c in columns]
    connection.execute(
        f"COPY (SELECT {', '.join(columns)} FROM processed_events "  # noqa: S608
        f"ORDER BY consumed_at, order_id, event_time) TO '{_file(folder, way)}' (FORMAT binary)"
    )


def _measure(connection: Connection, folder: Path, way: str, rows: int) -> Cost:
    connection.execute("DROP TABLE IF EXISTS t")
    connection.execute(_create(way))
    for statement in filter(None, map(str.strip, WAYS[way].format(table="t").split(";"))):
        connection.execute(statement)
    meter = Meter(connection)
    connection.execute(
        f"COPY t ({', '.join(_columns(way))}) FROM '{_file(folder, way)}' (FORMAT binary)"
    )
    cpu, wal = meter.read()
    connection.execute("VACUUM (ANALYZE, INDEX_CLEANUP ON) t")
    sizes = connection.execute(_SIZES).fetchone() or ()
    return Cost(*(float(number) / rows for number in (*sizes, wal)), cpu=cpu / rows * 1e6)


_SIZES = """
SELECT pg_relation_size('t') + coalesce(pg_relation_size(nullif(reltoastrelid, 0)), 0),
       pg_relation_size('t_pkey'), pg_indexes_size('t') - pg_relation_size('t_pkey')
FROM pg_class WHERE oid = 't'::regclass
"""


def _create(way: str) -> str:
    if way != "columns in the order of their alignment":
        return "CREATE TABLE t (LIKE processed_events INCLUDING ALL)"
    return (
        "CREATE TABLE t AS SELECT " + BY_ALIGNMENT + " FROM processed_events WITH NO DATA;"  # noqa: S608
        "ALTER TABLE t ADD PRIMARY KEY (order_id, event_time);"
        "CREATE INDEX ON t (consumed_at);"
        "CREATE INDEX ON t (outcome, consumed_at) WHERE outcome <> 'created';"
        "CREATE INDEX ON t USING brin (record_topic, record_partition, record_offset);"
    )


def _columns(way: str) -> list[str]:
    return BY_ALIGNMENT.split(", ") if "alignment" in way else AS_THEY_ARE.split(", ")


def _file(folder: Path, way: str) -> Path:
    name = (
        way.replace(" ", "-").replace(",", "") if way in INSTEAD or "alignment" in way else "rows"
    )
    return folder / f"{name}.copy"


def _print(costs: Mapping[str, Sequence[Cost]]) -> None:
    say("| way | table | primary key | other indexes | in all | WAL | CPU | of the CPU as it is |")
    say("|---|---:|---:|---:|---:|---:|---:|---:|")
    as_it_is = costs[next(iter(costs))]
    for way, measured in costs.items():
        cost = Cost(*(median(column) for column in zip(*measured, strict=True)))
        # The kernel counts in hundredths of a second: of a few rows there may be none.
        ratios = [one.cpu / (base.cpu or nan) for one, base in zip(measured, as_it_is, strict=True)]
        say(
            f"| {way} | {cost.table:.0f} | {cost.primary_key:.1f} | {cost.other_indexes:.1f} | "
            f"{cost.disk:.0f} | {cost.wal:.0f} | {cost.cpu:.1f} | {median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f}) |"
        )
