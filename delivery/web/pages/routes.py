"""The pages for people, rendered on the server. Nothing here needs a script."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from delivery.domain.vocabulary import OUTCOMES, REASONS, RESOLUTIONS
from delivery.postgres.database import Connection
from delivery.web import queries
from delivery.web.pages import changes, error_pages, forms, overview, rendering
from delivery.web.pages import dead_letter as letters
from delivery.web.pages import timeline as timelines
from delivery.web.pool import reading

ON_ONE_PAGE = 50  # records, or dead letters

STANDINGS = ("open", *RESOLUTIONS, "any")

Reading = Annotated[Connection, Depends(reading, scope="function")]

router = APIRouter(include_in_schema=False)


@router.get("/")
def front(request: Request, connection: Reading, span: str = "hour") -> Response:
    """How it goes, and a field to find an order."""
    if span not in overview.SPANS:
        return error_pages.page(request, 422, f"span must be one of {', '.join(overview.SPANS)}.")
    told = overview.figures(request.app, connection, span)
    return rendering.page(request, "overview.html", **told)


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
    readers = {"order_id": forms.number, "before": forms.position}
    values, errors = forms.read(readers, {"order_id": order_id, "before": before})
    if "order_id" in errors:
        return error_pages.bad_order_id(request, order_id, errors["order_id"])
    if errors:
        return error_pages.page(request, 422, errors["before"])
    number = values["order_id"]
    rows = queries.timeline(connection, number, values.get("before"), ON_ONE_PAGE + 1)
    delivery = queries.delivery(connection, number)
    if not rows and not delivery:
        return error_pages.unknown_order(request, number)
    is_masked = not rendering.shows_personal_data(request)
    told = {
        "order_id": number,
        "is_part": bool(before),
        "delivery": timelines.delivery(delivery, is_masked) if delivery else None,
    }
    told |= _timeline(connection, number, rows, is_masked)
    return rendering.page(request, "order.html", **told)


@router.get("/events")
def events(request: Request, connection: Reading) -> Response:
    """The newest records of the log that match the filters, which are all in the address."""
    asked = forms.activity(request.query_params)
    rows: list[queries.Row] = []
    if not asked.errors:
        rows = queries.records(connection, asked.wanted, ON_ONE_PAGE + 1, asked.before)
    older = ""
    if len(rows) > ON_ONE_PAGE:
        position = forms.position_text(queries.position(rows[ON_ONE_PAGE - 1]))
        older = rendering.link("/events", asked.given | {"before": position})
    return rendering.page(
        request,
        "events.html",
        422 if asked.errors else 200,
        rows=rows[:ON_ONE_PAGE],
        values=asked.given,
        errors=asked.errors,
        outcomes=OUTCOMES,
        is_filtered=any(asked.given.values()),
        is_older=asked.before is not None,
        older=older,
    )


@router.get("/dead-letters")
def dead_letters(
    request: Request,
    connection: Reading,
    reason: str = "",
    resolution: str = "",
    before: str = "",
) -> Response:
    """Records that could not be processed, the newest first."""
    readers = {
        "reason": forms.one_of(REASONS),
        "resolution": forms.one_of(STANDINGS),
        "before": forms.number,
    }
    given = {"reason": reason, "resolution": resolution or STANDINGS[0], "before": before}
    values, errors = forms.read(readers, given)
    rows: list[queries.Row] = []
    if not errors:
        rows = queries.letters(connection, values.get("reason"), values["resolution"],
                               values.get("before"), ON_ONE_PAGE + 1)  # fmt: skip
    last = rows[ON_ONE_PAGE - 1]["dead_letter_id"] if len(rows) > ON_ONE_PAGE else ""
    return rendering.page(
        request,
        "dead_letters.html",
        422 if errors else 200,
        rows=rows[:ON_ONE_PAGE],
        values=given,
        errors=errors,
        reasons=REASONS,
        resolutions=STANDINGS,
        is_filtered=bool(reason) or given["resolution"] != STANDINGS[0],
        older=last and rendering.link("/dead-letters", given | {"before": last}),
    )


@router.get("/dead-letters/{dead_letter_id}")
def dead_letter(request: Request, connection: Reading, dead_letter_id: str) -> Response:
    """One letter: why, what to do about it, and the record itself."""
    try:
        row = queries.letter(connection, forms.number(dead_letter_id))
    except ValueError as error:
        return error_pages.page(request, 422, str(error))
    if row is None:
        return error_pages.page(request, 404, f"There is no dead letter {dead_letter_id}.")
    told = letters.told(row, not rendering.shows_personal_data(request))
    return rendering.page(request, "dead_letter.html", letter=told)


def _timeline(
    connection: Connection, order_id: int, rows: list[queries.Row], is_masked: bool
) -> dict[str, Any]:
    """The rows of one page, and where those before them are, of which one is in `rows`."""
    if len(rows) <= ON_ONE_PAGE:
        return {"rows": timelines.told(None, rows, is_masked), "older": ""}
    rows = rows[-ON_ONE_PAGE:]
    before = queries.position(rows[0])
    payload = queries.shaped_before(connection, order_id, before)
    shaped = None if payload is None else changes.read(payload)
    older = rendering.link(f"/orders/{order_id}", {"before": forms.position_text(before)})
    return {"rows": timelines.told(shaped, rows, is_masked), "older": older}
