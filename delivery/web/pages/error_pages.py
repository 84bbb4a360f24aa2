"""Pages that say what went wrong, and what to do about it."""

from collections.abc import Sequence
from http import HTTPStatus

from fastapi import Request, Response

from delivery.web.pages import rendering

UNAVAILABLE = "The database can't be reached. This page works again as soon as it does."

_TOLD = {
    400: "The request can't be understood.",
    404: "There is no such page.",
    405: "These pages can only be read.",
    422: "Something in the address is not as it has to be.",
    500: "This is a bug, and it is in the log of `delivery serve`.",
    503: UNAVAILABLE,
}

_RETRY_AFTER = {"Retry-After": "2"}  # seconds


def page(request: Request, status: int, detail: str | None = None) -> Response:
    """The page for a status; `detail` says more than the status does."""
    told = detail or _TOLD.get(status, HTTPStatus(status).phrase)
    answer = _page(request, status, HTTPStatus(status).phrase, told, finds_orders=status < 500)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        answer.headers.update(_RETRY_AFTER)
    return answer


def bad_order_id(request: Request, order_id: str, error: str) -> Response:
    """What was given is no order's id: the message stands at the field, to be mended there."""
    told = "What was asked for is not the id of an order."
    return _page(request, 422, "Not an order id", told, finds_orders=True, value=order_id,
                 errors={"order_id": error})  # fmt: skip


def unknown_order(request: Request, order_id: int) -> Response:
    """Nothing in the log is of this order."""
    advice = (
        "Is the number right? It is the order's own id, not that of its delivery or its customer.",
        "If it was placed just now, its event may still be on its way: look at how many records "
        "the worker is behind, on the overview.",
        "If its event could not be read, it lies under the dead letters, perhaps without an "
        "order id.",
    )
    told = "No record of this order has arrived, and it has no delivery."
    return _page(request, 404, f"Order {order_id} is unknown", told, advice, finds_orders=True,
                 value=str(order_id))  # fmt: skip


def _page(
    request: Request,
    status: int,
    heading: str,
    told: str,
    advice: Sequence[str] = (),
    *,
    finds_orders: bool,
    value: str = "",
    errors: dict[str, str] | None = None,
) -> Response:
    return rendering.page(
        request,
        "error.html",
        status,
        heading=heading,
        told=told,
        advice=advice,
        finds_orders=finds_orders,
        value=value,
        errors=errors or {},
    )
