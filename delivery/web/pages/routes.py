"""The pages for people, rendered on the server. Nothing here needs a script."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from delivery import history
from delivery.dead_letters import groups
from delivery.dead_letters import queries as letter_queries
from delivery.dead_letters.letter import STATES, DeadLetter, LetterFilter
from delivery.domain.vocabulary import OUTCOMES, REASONS
from delivery.history import EventFilter, Row, archived, parse, search
from delivery.postgres import search_indexes
from delivery.postgres.database import Connection
from delivery.web import prefix, queries, searching
from delivery.web.identity import shows_personal_data
from delivery.web.pages import (
    dead_letter,
    display,
    error_pages,
    formatting,
    forms,
    language,
    overview,
    rendering,
)
from delivery.web.pages import order as orders
from delivery.web.pages import timeline as timelines
from delivery.web.pool import reading

FIRST = "hour"  # the span that the overview has without being asked
REFRESH_S = 5

ON_ONE_PAGE = 50  # records, or dead letters

# Of a dead letter's value that is too large for its page, in bytes.
BEGINNING = 20_000

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


@router.get("/time-zone")
def time_zone(request: Request, name: str = "", back: str = "/") -> Response:
    """Keeps the zone in which this visitor reads times."""
    try:
        return display.chosen(name, back)
    except ValueError as error:
        return error_pages.page(request, 422, formatting.sentence(str(error)))


@router.get("/language")
def choose_language(request: Request, name: str = "", back: str = "/") -> Response:
    """Keeps the language in which this visitor reads the pages."""
    try:
        return language.chosen(name, back)
    except ValueError as error:
        return error_pages.page(request, 422, str(error))


@router.get("/orders")
def find_order(request: Request, order_id: str = "") -> Response:
    """Leads to the order's own page."""
    try:
        number = forms.number(order_id.strip())
    except ValueError as error:
        return error_pages.bad_order_id(request, order_id, str(error))
    return RedirectResponse(prefix.address(f"/orders/{number}"), 303)


@router.get("/orders/{order_id}")
def order(
    request: Request, connection: Reading, order_id: str, outcome: str = "", before: str = ""
) -> Response:
    """The delivery of an order, and its records with what each changed."""
    readers = {
        "order_id": forms.number,
        "outcome": forms.one_of(OUTCOMES),
        "before": parse.position,
    }
    given = {"order_id": order_id, "outcome": outcome, "before": before}
    values, errors = forms.read(readers, given)
    if "order_id" in errors:
        return error_pages.bad_order_id(request, order_id, errors["order_id"])
    if errors:
        return error_pages.page(request, 422, formatting.sentence(next(iter(errors.values()))))
    number = values["order_id"]
    counts = orders.counts(connection, number)
    delivery = queries.delivery(connection, number)
    if not counts and not delivery:
        return error_pages.unknown_order(request, number)
    is_masked = not shows_personal_data(request)
    rows, older = orders.page(
        connection, number, values.get("outcome"), values.get("before"), is_masked
    )
    path = f"/orders/{number}"
    return rendering.page(
        request,
        "order.html",
        order_id=number,
        archived=archived.named(archived.touched(connection, EventFilter(order_id=number))),
        delivery=timelines.delivery(delivery, is_masked) if delivery else None,
        rows=rows,
        outcome=outcome,
        of_outcome={name: rendering.link(path, {"outcome": name}) for name in ("", *counts)},
        newest=rendering.link(path, {"outcome": outcome}) if before else "",
        older=older and rendering.link(path, {"outcome": outcome, "before": str(older)}),
        **orders.summary(counts),
    )


@router.get("/events")
def events(request: Request, connection: Reading) -> Response:
    """The newest records of the log that match the filters, which are all in the address."""
    is_by_personal_data = searching.is_by_personal_data(request)
    form = forms.activity(request.query_params, is_by_personal_data)
    rows: list[Row] = []
    not_shown = ""
    if not form.errors:
        if form.ordered_by is not None:
            searching.note(request, "ordered_by")
        wanted = search.narrowed(connection, form.wanted, form.event_id, form.ordered_by)
        rows = history.page_without_texts(connection, wanted, ON_ONE_PAGE + 1, form.before)
        not_shown = archived.named(archived.touched(connection, wanted))
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
        is_by_personal_data=is_by_personal_data,
        is_indexed=search_indexes.is_built(connection, search_indexes.EVENT_ID_INDEX),
        is_older=form.before is not None,
        older=older,
        downloads=rendering.downloads("/api/v1/events", form.given),
        archived=not_shown,
    )


@router.get("/dead-letters")
def letters(request: Request, connection: Reading) -> Response:
    """Records that could not be processed, the newest first."""
    is_by_personal_data = searching.is_by_personal_data(request)
    form = forms.letters(request.query_params, is_by_personal_data)
    rows: list[Row] = []
    if not form.errors:
        if form.wanted.text is not None:
            searching.note(request, "text")
        rows = letter_queries.newest_first(connection, form.wanted, form.before, ON_ONE_PAGE + 1)
    last = rows[ON_ONE_PAGE - 1]["dead_letter_id"] if len(rows) > ON_ONE_PAGE else ""
    return rendering.page(
        request,
        "dead_letters.html",
        422 if form.errors else 200,
        rows=rows[:ON_ONE_PAGE],
        values=form.given,
        errors=form.errors,
        reasons=REASONS,
        resolutions=STATES,
        is_filtered=bool(form.narrowing),
        is_by_personal_data=is_by_personal_data,
        narrowing=rendering.query(form.narrowing),
        older=last and rendering.link("/dead-letters", form.narrowing | {"before": last}),
        downloads=rendering.downloads("/api/v1/dead-letters", form.narrowing),
        resolve=form.wanted.state == "open"
        and rendering.link("/dead-letters/resolve", form.narrowing),
    )


@router.get("/causes")
def letters_by_cause(request: Request, connection: Reading) -> Response:
    """Open letters counted by reason and error, the largest group first."""
    found = groups.largest_first(connection, LetterFilter(), ON_ONE_PAGE + 1)
    for group in found:
        chosen = {"reason": group["reason"], "error": group["error"].strip()}
        group["listed"] = rendering.link("/dead-letters", chosen)
        group["resolve"] = rendering.link("/dead-letters/resolve", chosen)
    return rendering.page(
        request, "causes.html", groups=found[:ON_ONE_PAGE], are_more=len(found) > ON_ONE_PAGE
    )


@router.get("/dead-letters/{dead_letter_id}")
def letter(request: Request, connection: Reading, dead_letter_id: str) -> Response:
    """One letter: why, what to do about it, the record itself, and the letters around it.

    The filters are those of the list that led here: the neighbours are in it, too.
    """
    try:
        number = forms.number(dead_letter_id)
    except ValueError as error:
        return error_pages.page(request, 422, str(error))
    letters = letter_queries.find(connection, [number], BEGINNING)
    if not letters:
        return error_pages.page(request, 404, f"There is no dead letter {number}.")
    return whole_letter(request, connection, letters[0])


def whole_letter(
    request: Request, connection: Connection, letter: DeadLetter, is_revealed: bool = False
) -> Response:
    """The page of a letter, masked unless everybody may see personal data or it is revealed."""
    number = letter.dead_letter_id
    form = forms.letters(request.query_params, searching.is_by_personal_data(request))
    newer, older = letter_queries.neighbours(connection, number, form.wanted)
    alike = letter_queries.alike(connection, number, queries.MOST_LETTERS)
    is_masked = not (is_revealed or shows_personal_data(request))
    return rendering.page(
        request,
        "dead_letter.html",
        letter=dead_letter.members(letter, is_masked),
        is_revealed=is_revealed,
        newer=newer,
        older=older,
        narrowing=rendering.query(form.narrowing),
        alike=alike,
        alike_link=rendering.link("/dead-letters", {"reason": letter.reason, "error": alike.cause}),
    )
