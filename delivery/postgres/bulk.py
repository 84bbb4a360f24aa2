"""Many rows into one table at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.types.string import BytesBinaryDumper

from delivery.postgres import citus

if TYPE_CHECKING:
    from delivery.postgres.session import Connection

Rows = Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Target:
    """Where rows go: a table, and by the names of its columns the types of their values.

    Bytes of another type than `bytea` are those that the type's binary form has: those of a text
    for json, 16 of them for a uuid.
    """

    table: str
    columns: Mapping[str, str]

    @cached_property
    def copy(self) -> sql.Composed:
        """The COPY."""
        names = sql.SQL(", ").join(map(sql.Identifier, self.columns))
        query = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)")
        return query.format(sql.Identifier(self.table), names)


def write(connection: Connection, target: Target, rows: Rows, on_wait: Callable[[], None]) -> None:
    """Writes the rows, if there are any, and calls `on_wait` once they are sent.

    Raises psycopg's errors, and RaceError on Citus.
    """
    if rows and connection.is_citus:
        citus.write(connection, target, rows, partial(_copy, connection, target, rows, on_wait))
    elif rows:
        _copy(connection, target, rows, on_wait)


def _copy(connection: Connection, target: Target, rows: Rows, on_wait: Callable[[], None]) -> None:
    with connection.cursor() as cursor, cursor.copy(target.copy) as copy:
        # In C: psycopg's own choice for bytea is in Python, and takes half of the row's time.
        cursor.adapters.register_dumper(bytes, BytesBinaryDumper)
        copy.set_types(list(target.columns.values()))
        for row in rows:
            copy.write_row(row)
        on_wait()  # PostgreSQL has the rows by now, and takes longer than we took to send
