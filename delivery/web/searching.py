"""What visitors search for without an order's id.

A search by personal data tells whether it is there. Only those may do it who may see it.
"""

import re
from collections.abc import Callable
from typing import Any

import structlog
from fastapi import Request

from delivery.history import search
from delivery.web import masking
from delivery.web.identity import has_role, identity_of

log = structlog.get_logger()

NOT_ALLOWED = (
    "only those who may see personal data search by this, see DELIVERY_WEB_PERSONAL_DATA_READERS; "
    "so does the command line"
)
NOT_BOTH = "give either the event id or who ordered"

_CUSTOMER = re.compile(r"-?\d{1,19}", re.ASCII)
_LAST_ID = 2**63 - 1


def is_by_personal_data(request: Request) -> bool:
    """Whether the one who asks may search by personal data."""
    shows: bool = request.app.state.settings.web_show_personal_data
    return shows or has_role(request.scope, "personal_data")


def note(request: Request, field: str) -> None:
    """Logs who searched by personal data where that is not for everybody, and never for what."""
    shows: bool = request.app.state.settings.web_show_personal_data
    if not shows and (visitor := identity_of(request.scope)):
        log.info("searched by personal data", by=visitor.name, field=field)


def of_event(may_be_personal: bool) -> Callable[[str], str]:
    """Reads an event's id. The reader raises ValueError for one of a form that only those may
    search for who may see personal data: it can be anything.
    """

    def read(text: str) -> str:
        event_id = search.event_id(text)
        if may_be_personal or masking.is_id(event_id):
            return event_id
        raise ValueError(f"no UUID, ULID or hash: {NOT_ALLOWED}")

    return read


def of_personal(read: Callable[[str], Any], may_be_personal: bool) -> Callable[[str], Any]:
    """`read`, for those who may; a reader that raises ValueError for others."""

    def refuse(_text: str) -> Any:
        raise ValueError(NOT_ALLOWED)

    return read if may_be_personal else refuse


def customer(text: str) -> int:
    """The id of who ordered. Raises ValueError."""
    if _CUSTOMER.fullmatch(text) and abs(int(text)) <= _LAST_ID:
        return int(text)
    raise ValueError("must be a whole number, digits only")
