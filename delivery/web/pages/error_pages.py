"""Pages that say what went wrong, and what to do about it."""

from collections.abc import Sequence
from http import HTTPStatus

from fastapi import Request, Response

from delivery.web import prefix, request_ids
from delivery.web.pages import rendering
from delivery.web.pool import RETRY_AFTER_S

Link = tuple[str, str]  # an address, and its words

UNAVAILABLE = "The database can't be reached. This page works again as soon as it does."

DETAILS = {
    400: "The request can't be understood.",
    404: "There is no such page.",
    405: "These pages can only be read.",
    422: "Something in the address is not as it has to be.",
    500: "This is a bug, and it is in the log of `delivery serve`.",
    503: UNAVAILABLE,
}


def page(
    request: Request, status: int, detail: str | None = None, link: Link | None = None
) -> Response:
    """The page for a status; `detail` says more than the status does, `link` leads on."""
    heading = HTTPStatus(status).phrase
    detail = detail or DETAILS.get(status, heading)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        detail += f" Its request is {request_ids.current()}."
    response = _page(request, status, heading, detail, link=link,
                     finds_orders=status < 500 and link is None)  # fmt: skip
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers.update({"Retry-After": str(RETRY_AFTER_S)})
    return response


def bad_order_id(request: Request, order_id: str, error: str) -> Response:
    """The text is no order's id: the form shows it again, with the error at the field."""
    detail = "What was asked for is not the id of an order."
    return _page(request, 422, "Not an order id", detail, finds_orders=True, value=order_id,
                 errors={"order_id": error})  # fmt: skip


def unknown_order(request: Request, order_id: int) -> Response:
    """The log holds nothing of this order."""
    advice = (
        "Is the number right? It is the order's own id, not that of its delivery or its customer.",
        "If it was placed just now, its event may still be on its way: look at how many records "
        "the worker is behind, on the overview.",
        "If its event could not be read, it lies under the dead letters, perhaps without an "
        "order id.",
    )
    detail = "No record of this order has arrived, and it has no delivery."
    return _page(request, 404, f"Order {order_id} is unknown", detail, advice, finds_orders=True,
                 value=str(order_id))  # fmt: skip


def _page(
    request: Request,
    status: int,
    heading: str,
    detail: str,
    advice: Sequence[str] = (),
    *,
    finds_orders: bool,
    link: Link | None = None,
    value: str = "",
    errors: dict[str, str] | None = None,
) -> Response:
    return rendering.page(
        request,
        "error.html",
        status,
        heading=heading,
        detail=detail,
        advice=advice,
        finds_orders=finds_orders,
        link=link or (prefix.address("/"), "Overview"),
        value=value,
        errors=errors or {},
    )
