"""What becomes of a baseline's lines, each of another order. Pure.

A line says how a delivery is, and is no event that asks to be applied to it. So its outcome does
not depend on the delivery's status, and the order of the lines makes no difference: of an order's
lines the newest gives the delivery its fields, and the furthest its status.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from delivery.domain.decide import Change, Delivery, Logged, State
from delivery.domain.event import Contract, OrderCreated, decode
from delivery.domain.imported import agrees
from delivery.domain.vocabulary import EventOutcome, Status
from delivery.takeover.baseline import Known

# Where a delivery may go from each status. It ends as delivered or as cancelled.
_BEHIND: Mapping[str, Container[str]] = {
    "pending": {"dispatched", "delivered", "cancelled"},
    "dispatched": {"delivered", "cancelled"},
    "delivered": set(),
    "cancelled": set(),
}


class Move(NamedTuple):
    """A delivery that is further than it was read."""

    order_id: int
    status: Status
    read_status: str


@dataclass(slots=True)
class Verdict:
    """The rows to write, and the lines that contradict what is known, each with its reason.

    The `conflicts` are those whose event the log has, and which say something else of it.
    """

    entries: list[tuple[Known, EventOutcome]] = field(default_factory=list)
    created: list[Known] = field(default_factory=list)
    changed: list[tuple[Change, str]] = field(default_factory=list)  # with the status as read
    moved: list[Move] = field(default_factory=list)
    conflicts: list[Known] = field(default_factory=list)
    contradictions: list[tuple[Known, str]] = field(default_factory=list)


def rounds(lines: Iterable[Known]) -> Iterator[list[Known]]:
    """The lines, in their order, such that no round has two of one order."""
    rest = list(lines)
    while rest:
        this: dict[int, Known] = {}
        later = [line for line in rest if this.setdefault(line.event.order_id, line) is not line]
        yield list(this.values())
        rest = later


def would_empty(state: State, lines: Iterable[Known]) -> list[int]:
    """The orders whose delivery would lose the fields that it has: the line gives none."""
    return [
        line.event.order_id
        for line in lines
        if (delivery := state.deliveries.get(line.event.order_id)) is not None
        and delivery.event_time < line.event.event_time
        and line.is_bare
    ]


def decide(
    contract: Contract, state: State, with_fields: Container[int], lines: Sequence[Known]
) -> Verdict:
    """What becomes of the lines. `with_fields` are those of `would_empty` that do have fields."""
    verdict = Verdict()
    for line in lines:
        event = line.event
        delivery = state.deliveries.get(event.order_id)
        logged = state.inbox.get((event.order_id, event.event_time))
        if logged is not None and (differing := _differing(contract, event, logged)):
            verdict.conflicts.append(line)
            verdict.contradictions.append((line, differing))
        elif delivery is not None and (detail := _impossible(delivery, line, with_fields)):
            verdict.contradictions.append((line, detail))
        else:
            _apply(verdict, delivery, line, is_news=logged is None)
    return verdict


def _apply(verdict: Verdict, delivery: Delivery | None, line: Known, is_news: bool) -> None:
    event = line.event
    if delivery is None:
        verdict.entries.append((line, "created"))
        verdict.created.append(line)
        return
    if is_news and event.event_time > delivery.event_time:
        verdict.entries.append((line, "updated"))
        verdict.changed.append((Change(event, delivery.event_time), delivery.status))
    elif is_news:
        verdict.entries.append((line, "stale"))
    if line.status in _BEHIND[delivery.status]:
        verdict.moved.append(Move(event.order_id, line.status, delivery.status))


def _differing(contract: Contract, given: OrderCreated, logged: Logged) -> str | None:
    """What the log's event of that order and time says in another way, if anything."""
    if logged.payload is None or logged.payload == given.payload:  # None: it was erased
        return None
    event = decode(contract, logged.payload, None)
    if not isinstance(event, OrderCreated):
        return f"the log has an event of that time that can't be read: {event.reason}"
    if agrees(given, event):
        return None
    pairs = zip(given._fields, given.delivery_row, event.delivery_row, strict=False)
    names = [name for name, known, said in pairs if known is not None and known != said]
    return f"the log has an event of that time with another {', '.join(names)}, or without"


def _impossible(delivery: Delivery, line: Known, with_fields: Container[int]) -> str | None:
    if line.event.order_id in with_fields:
        of = delivery.event_time.isoformat()
        return f"it is newer than the delivery's event of {of}, and has no field of it"
    if line.status != delivery.status and not (_BEHIND[line.status] or _BEHIND[delivery.status]):
        return f"the delivery is {delivery.status}, and not {line.status}"
    return None
