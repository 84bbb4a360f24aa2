"""Reads the file of an archive as the log is read: the same filters, the same columns, in order."""

from collections import deque
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, BinaryIO
from uuid import UUID

from delivery.archive.compressed import Reader
from delivery.errors import SettingsError
from delivery.history.filter import COLUMNS, COORDINATES, EventFilter

_TIMES = ("event_time", "record_time", "consumed_at")
_NUMBERS = ("order_id", "record_partition", "record_offset", "erasure_id")


def events(
    source: BinaryIO, name: str, wanted: EventFilter, limit: int | None, columns: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    """The rows of a file in its order, which is the log's; with a `limit` the newest of them.

    A row is a tuple in the order of `columns`. Memory does not grow with the file, but for `limit`
    rows. The file is named `name` where it is damaged or none of an archive: SettingsError.
    """
    reader = Reader(source, name)
    if not {"order_id", "event_time", "outcome", *COORDINATES} <= set(reader.columns):
        raise SettingsError(f"{name} is no file of `delivery archive`: its columns are others")
    rows = (_typed(reader.columns, row) for row in reader.rows())
    found = (tuple(row.get(c) for c in columns) for row in rows if _matches(wanted, row))
    yield from found if limit is None else deque(found, limit)


def _typed(names: Sequence[str], texts: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row.update(zip(names, (text or None for text in texts), strict=True))
    for name in _TIMES:
        row[name] = row[name] and datetime.fromisoformat(row[name])
    for name in _NUMBERS:
        row[name] = row.get(name) and int(row[name])
    row["record_topic_id"] = row["record_topic_id"] and UUID(row["record_topic_id"])
    return row


def _matches(wanted: EventFilter, row: dict[str, Any]) -> bool:
    coordinates = tuple(row[name] for name in COORDINATES)
    return (
        wanted.order_id in (None, row["order_id"])
        and wanted.coordinates in (None, coordinates)
        and (not wanted.outcomes or row["outcome"] in wanted.outcomes)
        and (wanted.since is None or row["consumed_at"] >= wanted.since)
        and (wanted.until is None or row["consumed_at"] < wanted.until)
    )
