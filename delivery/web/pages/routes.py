"""The pages for people, rendered on the server. Nothing here needs a script."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from delivery import history
from delivery.dead_letters import queries as letter_queries
from delivery.dead_letters.letter import STATES, LetterFilter
from delivery.domain.event import OrderCreated
from delivery.domain.vocabulary import OUTCOMES, REASONS
from delivery.history import EventFilter, Position, Row, announcements, archived, parse
from delivery.postgres.database import Connection
from delivery.web import queries
from delivery.web.pages import (
    changes,
    dead_letter,
    error_pages,
    formatting,
    forms,
    overview,
    rendering,
)
from delivery.web.pages import timeline as timelines
from delivery.web.pool import reading

FIRST = "hour"  # the span that the overview has without being asked
REFRESH_S = 5

ON_ONE_PAGE = 50  # records, or dead letters

# Of a value that is too large for its page: characters of JSON, bytes of a dead letter.
BEGINNING = 20_000

_SHAPING = tuple(outcome for outcome in OUTCOMES if outcome in changes.SHAPING)

Reading = Annotated[Connection, Depends(reading, scope="function")]

router = APIRouter(include_in_schema=False)


@router.get("/")
def front(request: Request, connection: Reading, span: str = "hour", refresh: str = "") -> Response:
    """How it goes, and a field to find an order."""
    if span not in overview.SPANS:
        return error_pages.page(request, 422, f"span must be one of {', '.join(overview.SPANS)}.")
    figures = overview.figures(request.app, connection, span)
    is_live = refresh == "on"
    links = {
        name: rendering.link("/", {"span": name != FIRST and name, "refresh": is_live and "on"})
        for name in overview.SPANS
    }
    other = rendering.link("/", {"span": span != FIRST and span, "refresh": not is_live and "on"})
    page = rendering.page(
        request, "overview.html", **figures, is_live=is_live, links=links, refresh_link=other
    )
    if is_live:  # a header and no element: axe refuses an element, for it can't see the way out
        page.headers["Refresh"] = str(REFRESH_S)
    return page


@router.get("/orders")
def find_order(request: Request, order_id: str = "") -> Response:
    """Leads to the order's own page."""
    try:
        number = forms.number(order_id.strip())
    except ValueError as error:
        return error_pages.bad_order_id(request, order_id, str(error))
    return RedirectResponse(f"/orders/{number}", 303)


@router.get("/orders/{order_id}")
def order(request: Request, connection: Reading, order_id: str, before: str = "") -> Response:
    """The delivery of an order, and its records with what each changed."""
    readers = {"order_id": forms.number, "before": parse.position}
    values, errors = forms.read(readers, {"order_id": order_id, "before": before})
    if "order_id" in errors:
        return error_pages.bad_order_id(request, order_id, errors["order_id"])
    if errors:
        return error_pages.page(request, 422, formatting.sentence(errors["before"]))
    number = values["order_id"]
    timeline = _timeline(request, connection, number, values.get("before"))
    delivery = queries.delivery(connection, number)
    if not timeline["rows"] and not delivery:
        return error_pages.unknown_order(request, number)
    is_masked = not rendering.shows_personal_data(request)
    return rendering.page(
        request,
        "order.html",
        order_id=number,
        archived=archived.named(archived.touched(connection, EventFilter(order_id=number))),
        is_part=bool(before),
        delivery=timelines.delivery(delivery, is_masked) if delivery else None,
        **timeline,
    )


@router.get("/events")
def events(request: Request, connection: Reading) -> Response:
    """The newest records of the log that match the filters, which are all in the address."""
    form = forms.activity(request.query_params)
    rows: list[Row] = []
    not_shown = ""
    if not form.errors:
        rows = history.page_without_texts(connection, form.wanted, ON_ONE_PAGE + 1, form.before)
        not_shown = archived.named(archived.touched(connection, form.wanted))
    older = ""
    if len(rows) > ON_ONE_PAGE:
        last = history.position(rows[ON_ONE_PAGE - 1])
        older = rendering.link("/events", form.given | {"before": str(last)})
    return rendering.page(
        request,
        "events.html",
        422 if form.errors else 200,
        rows=rows[:ON_ONE_PAGE],
        values=form.given,
        errors=form.errors,
        outcomes=OUTCOMES,
        is_filtered=any(form.given.values()),
        is_older=form.before is not None,
        older=older,
        archived=not_shown,
    )


@router.get("/dead-letters")
def letters(
    request: Request,
    connection: Reading,
    resolution: str = "",
) -> Response:
    """Records that could not be processed, the newest first."""
    readers = {
        "reason": forms.one_of(REASONS),
        "resolution": forms.one_of(STATES),
        "since": parse.time,
        "until": parse.time,
        "order_id": forms.number,
        "topic": forms.plain,
        "error": forms.plain,
        "before": forms.number,
    }
    given = {name: request.query_params.get(name, "") for name in readers}
    given["resolution"] = resolution or STATES[0]
    values, errors = forms.read(readers, given)
    rows: list[Row] = []
    if not errors:
        before = values.pop("before", None)
        wanted = LetterFilter(values.pop("resolution"), **values)
        rows = letter_queries.newest_first(connection, wanted, before, ON_ONE_PAGE + 1)
    last = rows[ON_ONE_PAGE - 1]["dead_letter_id"] if len(rows) > ON_ONE_PAGE else ""
    return rendering.page(
        request,
        "dead_letters.html",
        422 if errors else 200,
        rows=rows[:ON_ONE_PAGE],
        values=given,
        errors=errors,
        reasons=REASONS,
        resolutions=STATES,
        is_filtered=any(
            text
            for name, text in given.items()
            if name != "before" and (name, text) != ("resolution", STATES[0])
        ),
        older=last and rendering.link("/dead-letters", given | {"before": last}),
    )


@router.get("/dead-letters/{dead_letter_id}")
def letter(request: Request, connection: Reading, dead_letter_id: str) -> Response:
    """One letter: why, what to do about it, and the record itself."""
    try:
        number = forms.number(dead_letter_id)
    except ValueError as error:
        return error_pages.page(request, 422, str(error))
    letters = letter_queries.find(connection, [number], BEGINNING)
    if not letters:
        return error_pages.page(request, 404, f"There is no dead letter {number}.")
    members = dead_letter.members(letters[0], not rendering.shows_personal_data(request))
    return rendering.page(request, "dead_letter.html", letter=members)


def _timeline(
    request: Request, connection: Connection, order_id: int, before: Position | None
) -> dict[str, Any]:
    """The rows of one page in the order of the log, and the link to those before them."""
    is_masked = not rendering.shows_personal_data(request)
    wanted = EventFilter(order_id=order_id)
    rows = history.page(connection, wanted, ON_ONE_PAGE + 1, before, BEGINNING)
    is_last = len(rows) <= ON_ONE_PAGE
    rows = announcements.added(connection, rows[:ON_ONE_PAGE][::-1])
    if is_last:
        return {"rows": timelines.render(None, rows, is_masked), "older": ""}
    first = history.position(rows[0])
    shaped = _shaped_before(connection, order_id, first)
    older = rendering.link(f"/orders/{order_id}", {"before": str(first)})
    return {"rows": timelines.render(shaped, rows, is_masked), "older": older}


def _shaped_before(
    connection: Connection, order_id: int, position: Position
) -> OrderCreated | None:
    """The event that shaped the order's delivery last before a position, where it can be read."""
    wanted = EventFilter(order_id=order_id, outcomes=_SHAPING)
    rows = history.page(connection, wanted, 1, position)
    payloads = [r["payload"] for r in rows if r["is_whole"] and r["erasure_id"] is None]
    return changes.read(payloads[0]) if payloads else None
