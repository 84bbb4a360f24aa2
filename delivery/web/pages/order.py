"""The records of one order, the newest first: of all outcomes or of one, page by page."""

from collections import Counter
from typing import Any, NamedTuple

from delivery import history
from delivery.domain.event import OrderCreated
from delivery.domain.vocabulary import OUTCOMES, Outcome
from delivery.history import EventFilter, Position, Row, announcements
from delivery.postgres.database import Connection
from delivery.web.pages import changes
from delivery.web.pages import timeline as timelines

ON_ONE_PAGE = 20  # records: each has a table of changes and a payload
MOST_COUNTED = 1000  # an order with more is somebody's mistake, and a page takes 50 ms at most

# Of a payload that is too large for its page, in characters.
BEGINNING = 20_000

_SHAPING = tuple(outcome for outcome in OUTCOMES if outcome in changes.SHAPING)


class Page(NamedTuple):
    """Rows as the page shows them, and where the next page begins, if there is one."""

    rows: list[Row]
    older: Position | None


def counts(connection: Connection, order_id: int) -> dict[str, int]:
    """How many of the newest `MOST_COUNTED` records of an order had each outcome that occurs."""
    wanted = EventFilter(order_id=order_id)
    found = Counter(name for (name,) in history.events(connection, wanted, MOST_COUNTED,
                                                       ("outcome",)))  # fmt: skip
    return {outcome: found[outcome] for outcome in OUTCOMES if found[outcome]}


def page(
    connection: Connection,
    order_id: int,
    outcome: Outcome | None,
    before: Position | None,
    is_masked: bool,
) -> Page:
    """The newest records before a position; what each changed is told from those before it."""
    wanted = EventFilter(order_id=order_id, outcomes=_to_read(outcome))
    found = history.page(connection, wanted, ON_ONE_PAGE + 1, before, BEGINNING)
    rows = announcements.added(connection, found[:ON_ONE_PAGE][::-1])
    older = history.position(rows[0]) if len(found) > ON_ONE_PAGE else None
    shaped = _shaped_before(connection, order_id, older) if older else None
    rendered = timelines.render(shaped, rows, is_masked)
    return Page([row for row in rendered[::-1] if outcome in (None, row["outcome"])], older)


def _to_read(outcome: Outcome | None) -> tuple[Outcome, ...]:
    """What an update changed, the one before it tells, which may have created the delivery."""
    if outcome is None:
        return ()
    return _SHAPING if outcome in changes.SHAPING else (outcome,)


def _shaped_before(
    connection: Connection, order_id: int, position: Position
) -> OrderCreated | None:
    """The event that shaped the order's delivery last before a position, where it can be read."""
    wanted = EventFilter(order_id=order_id, outcomes=_SHAPING)
    rows = history.page(connection, wanted, 1, position)
    payloads = [r["payload"] for r in rows if r["is_whole"] and r["erasure_id"] is None]
    return changes.read(payloads[0]) if payloads else None


def summary(counted: dict[str, int]) -> dict[str, Any]:
    """The counts for the page: `total`, and whether there may be more."""
    total = sum(counted.values())
    return {"counts": counted, "total": total, "is_more": total >= MOST_COUNTED}
