"""Builds the SQL that finds the wanted rows of the log by index. It runs nothing.

The three logs are read in the shape of the view `event_history`, but not through it: the view is
there for people and BI tools. Through it PostgreSQL would sort every dead letter to give the
newest, and a distributed PostgreSQL would read the whole log for one order. Here each log gives its
newest rows, and the newest of these are taken.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Select,
    Subquery,
    Text,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    null,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY, psycopg

from delivery.domain.vocabulary import EVENT_OUTCOMES, OUTCOMES, Outcome
from delivery.history.filter import COLUMNS, COORDINATES, ORDER, EventFilter, Found, Position
from delivery.postgres.named_order import NAMED_ORDER
from delivery.postgres.tables import Time, dead_letters, duplicate_events, processed_events

_DIALECT = psycopg.dialect()  # type: ignore[no-untyped-call]

Query = tuple[bytes, dict[str, Any]]  # for psycopg


def oldest_first(wanted: EventFilter, limit: int | None, columns: Sequence[str]) -> Query:
    """These columns in the order of the log; with a `limit` of the newest rows only."""
    values = _values(wanted, limit, None)
    text, constants = _oldest_first(_outcomes(wanted), frozenset(values), tuple(columns))
    return text, constants | values


def newest_first(
    wanted: EventFilter, limit: int, before: Position | None, columns: Sequence[str]
) -> Query:
    """These columns of the newest rows before a position, the newest first."""
    values = _values(wanted, limit, before)
    text, constants = _newest_first(_outcomes(wanted), frozenset(values), tuple(columns))
    return text, constants | values


def with_payloads(
    wanted: EventFilter,
    limit: int,
    before: Position | None,
    after: Position | None,
    budget_bytes: int,
    beginning: int,
) -> Query:
    """The newest rows before a position, the newest first, with `budget_bytes` of payload and
    headers.

    With `after`, the oldest rows behind that position, the oldest first. The columns are `COLUMNS`,
    `payload_bytes` (the length) and `is_whole`: whether payload and headers fit into the budget
    with those of all rows before. Where they do not, `payload` has the first `beginning`
    characters, null if that is 0, and `record_headers` is null.
    """
    values = _values(wanted, limit, before, after)
    text, constants = _with_payloads(_outcomes(wanted), frozenset(values))
    return text, constants | values | {"budget_bytes": budget_bytes, "beginning": beginning}


# Parameters: the values of a position.
_BEFORE = tuple(f"before_{name}" for name in ORDER)
_AFTER = tuple(f"after_{name}" for name in ORDER)


def _values(
    wanted: EventFilter, limit: int | None, before: Position | None, after: Position | None = None
) -> dict[str, Any]:
    """What is given, by the names of the query's parameters."""
    coordinates = dict(zip(COORDINATES, wanted.coordinates or (), strict=False))
    positions = dict(zip(_BEFORE, before or (), strict=False))
    positions |= dict(zip(_AFTER, after or (), strict=False))
    values = {
        "order_id": wanted.order_id,
        "since": wanted.since,
        "until": wanted.until,
        "limit": limit,
        **_found_values(wanted.found),
        **coordinates,
        **positions,
    }
    return {name: value for name, value in values.items() if value is not None}


def _found_values(found: Found | None) -> dict[str, Any]:
    """What a search found: lists, which may be empty."""
    if found is None:
        return {}
    if found.event_times is None:
        return {"orders": list(found.orders)}
    return {
        "orders": list(found.orders),
        "event_times": list(found.event_times),
        "letters": list(found.letters),
    }


def _outcomes(wanted: EventFilter) -> tuple[Outcome, ...]:
    """Each once; none where all are wanted."""
    outcomes = tuple(o for o in OUTCOMES if o in wanted.outcomes)
    return () if len(outcomes) == len(OUTCOMES) else outcomes


# SQLAlchemy puts a query together, which takes longer than running it, and psycopg runs it: one
# kind of connection and of errors.
_cached = lru_cache(maxsize=256)


@_cached
def _oldest_first(
    outcomes: tuple[Outcome, ...], given: frozenset[str], columns: tuple[str, ...]
) -> Query:
    found = _found(outcomes, given).subquery()
    order = [found.c[name] for name in ORDER]
    return _compiled(select(*(found.c[name] for name in columns)).order_by(*order))


@_cached
def _newest_first(
    outcomes: tuple[Outcome, ...], given: frozenset[str], columns: tuple[str, ...]
) -> Query:
    found = _found(outcomes, given).subquery()
    newest = [found.c[name].desc() for name in ORDER]
    return _compiled(select(*(found.c[name] for name in columns)).order_by(*newest))


@_cached
def _with_payloads(outcomes: tuple[Outcome, ...], given: frozenset[str]) -> Query:
    found = _found(outcomes, given).subquery()
    order = _order(found, given)
    length = func.octet_length(found.c.payload)
    of_headers = func.octet_length(found.c.record_headers)
    both = func.coalesce(length, 0) + func.coalesce(of_headers, 0)
    is_whole = func.sum(both).over(order_by=order) <= bindparam("budget_bytes", 0)
    headers = case((is_whole, found.c.record_headers))
    beginning: BindParameter[int] = bindparam("beginning", 0)
    payload = case(
        (is_whole, found.c.payload), (beginning > 0, func.left(found.c.payload, beginning))
    )
    columns: dict[str, ColumnElement[Any]] = {c.name: c for c in found.c}
    columns |= {"payload": payload, "record_headers": headers}
    columns |= {"payload_bytes": length, "is_whole": is_whole}
    return _compiled(select(*(c.label(name) for name, c in columns.items())).order_by(*order))


def _compiled(query: Select[Any]) -> Query:
    compiled = query.compile(dialect=_DIALECT)
    return str(compiled).encode(), dict(compiled.params)


def _found(outcomes: tuple[Outcome, ...], given: frozenset[str]) -> Select[Any]:
    """The rows of `COLUMNS`, in no order; with a limit the first in the query's order."""
    branches = [_BRANCHES[outcome] for outcome in outcomes] or _ALL
    parts = [_part(branch, given) for branch in branches]
    if given & {"order_id", "record_offset", "orders"}:
        # Few rows, found by an index on these columns. OFFSET 0 keeps the planner from walking
        # through the log by time instead, in the hope to meet them soon.
        return _first(select(union_all(*parts).offset(0).subquery()), given)
    return _first(select(union_all(*(_sorted(p, given) for p in parts)).subquery()), given)


def _sorted(rows: Select[Any], given: frozenset[str]) -> Select[Any]:
    """The rows of one log by an index: the first, if there is a limit; oldest first otherwise.

    Sorted logs PostgreSQL merges, and the first row comes at once; left to itself it sorts them
    all together, and of three million rows the first comes after 14 s.
    """
    if "limit" in given:
        return _first(rows, given)
    return rows.order_by(*(rows.selected_columns[name] for name in ORDER))


def _first(rows: Select[Any], given: frozenset[str]) -> Select[Any]:
    """The first rows in the query's order, if there is a limit; all of them otherwise."""
    if "limit" not in given:
        return rows
    return rows.order_by(*_order(rows, given)).limit(bindparam("limit", 0))


def _order(rows: Select[Any] | Subquery, given: frozenset[str]) -> list[ColumnElement[Any]]:
    """The order of the log behind a position; the newest first otherwise."""
    columns = rows.c if isinstance(rows, Subquery) else rows.selected_columns
    order = [columns[name] for name in ORDER]
    return order if _AFTER[0] in given else [column.desc() for column in order]


@dataclass(frozen=True)
class _Branch:
    """The rows of one log, or those of one outcome in it."""

    columns: Mapping[str, ColumnElement[Any]]
    conditions: tuple[ColumnElement[bool], ...] = ()


def _columns(table: Any, **others: ColumnElement[Any]) -> dict[str, ColumnElement[Any]]:
    """A log's columns in the shape of all; JSON as text, for else it would be parsed."""
    own: dict[str, ColumnElement[Any]] = {c.name: c for c in table.columns} | others
    for name in ("payload", "record_headers"):
        own[name] = cast(own.get(name, null()), Text)
    return {name: own.get(name, _ABSENT.get(name, null())) for name in COLUMNS}


_ABSENT: dict[str, ColumnElement[Any]] = {
    "reason": cast(null(), Text),
    "error": cast(null(), Text),
    "dead_letter_id": cast(null(), BigInteger),
    "resolution": cast(null(), Text),
}


def _text(value: str) -> ColumnElement[Any]:
    return literal_column(f"'{value}'", Text)


_PROCESSED = _columns(processed_events)
_DIFFERS = duplicate_events.c.payload_differs
_LETTERS = _Branch(
    _columns(
        dead_letters,
        event_time=cast(null(), Time),
        outcome=_text("rejected"),
        record_headers=func.nullif(cast(dead_letters.c.record_headers, Text), _text("[]")),
    ),
    # One that was replayed shows as what it became.
    (dead_letters.c.resolution.is_distinct_from("replayed"),),
)


def _twins(outcome: Outcome) -> _Branch:
    differs = outcome == "conflict"
    columns = _columns(duplicate_events, outcome=_text(outcome))
    return _Branch(columns, (_DIFFERS if differs else ~_DIFFERS,))


# Each of them has an index that gives its newest rows.
_BRANCHES: dict[Outcome, _Branch] = {
    **{o: _Branch(_PROCESSED, (processed_events.c.outcome == o,)) for o in EVENT_OUTCOMES},
    "duplicate": _twins("duplicate"),
    "conflict": _twins("conflict"),
    "rejected": _LETTERS,
}
_ALL = (
    _Branch(_PROCESSED),
    _BRANCHES["duplicate"],
    _BRANCHES["conflict"],
    _LETTERS,
)


def _part(branch: _Branch, given: frozenset[str]) -> Select[Any]:
    columns = branch.columns
    rows = select(*(columns[name].label(name) for name in COLUMNS)).where(*branch.conditions)
    return rows.where(*_conditions(columns, given))


def _conditions(
    columns: Mapping[str, ColumnElement[Any]], given: frozenset[str]
) -> Iterator[ColumnElement[bool]]:
    consumed_at = columns["consumed_at"]
    if "order_id" in given:
        yield _of_order(columns["order_id"])
    if "orders" in given:
        yield from _found_rows(columns, given)
    for name in COORDINATES:
        if name in given:
            yield columns[name] == bindparam(name)
    if "since" in given:
        yield consumed_at >= bindparam("since")
    if "until" in given:
        yield consumed_at < bindparam("until")
    if "before_consumed_at" in given:
        position = [columns[name] for name in ORDER]
        before = [bindparam(b, type_=c.type) for b, c in zip(_BEFORE, position, strict=True)]
        # The planner does not conclude this from the comparison of the tuples.
        yield consumed_at <= before[0]
        yield tuple_(*position) < tuple_(*before)
    if "after_consumed_at" in given:
        position = [columns[name] for name in ORDER]
        after = [bindparam(a, type_=c.type) for a, c in zip(_AFTER, position, strict=True)]
        yield consumed_at >= after[0]
        yield tuple_(*position) > tuple_(*after)


def _of_order(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether a row is of the order. A letter may name it in bytes that nobody can read else."""
    order_id: BindParameter[int] = bindparam("order_id", type_=BigInteger)
    is_of_order = column == order_id
    if column is not dead_letters.c.order_id:
        return is_of_order
    named = literal_column(NAMED_ORDER, Text) == cast(order_id, Text)
    return or_(is_of_order, and_(column.is_(None), named))


def _found_rows(
    columns: Mapping[str, ColumnElement[Any]], given: frozenset[str]
) -> Iterator[ColumnElement[bool]]:
    is_letter = columns["order_id"] is dead_letters.c.order_id
    if is_letter and "event_times" in given:
        yield columns["dead_letter_id"] == _any("letters", BigInteger)
        return
    yield columns["order_id"] == _any("orders", BigInteger)
    if "event_times" in given:
        yield columns["event_time"] == _any("event_times", Time)


def _any(name: str, type_: Any) -> ColumnElement[Any]:
    return func.any(cast(bindparam(name), ARRAY(type_)))
