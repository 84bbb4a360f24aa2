"""What visitors search for without an order's id.

A search by personal data tells whether it is there. Only those may do it who may see it.
"""

from collections.abc import Callable
from typing import Any

import structlog
from fastapi import Request

from delivery.history import search
from delivery.web import masking
from delivery.web.identity import has_role, identity_of, shows_personal_data

log = structlog.get_logger()

NOT_ALLOWED = (
    "only those who may see personal data search by this, see DELIVERY_WEB_PERSONAL_DATA_READERS; "
    "so does the command line"
)
NOT_BOTH = "give either the event id or who ordered"


def is_by_personal_data(request: Request) -> bool:
    """Whether the one who asks may search by personal data."""
    return shows_personal_data(request) or has_role(request.scope, "personal_data")


def note(request: Request, field: str) -> None:
    """Logs who searched by personal data where that is not for everybody, and never for what."""
    if not shows_personal_data(request) and (visitor := identity_of(request.scope)):
        log.info("searched by personal data", by=visitor.name, field=field)


def is_personal(event_id: str) -> bool:
    """Whether an event's id may say something of a person: none was made that has its form."""
    return not masking.is_id(event_id)


def of_event(may_be_personal: bool) -> Callable[[str], str]:
    """Reads an event's id. The reader raises ValueError for one that is personal, for others than
    those who may see it.
    """

    def read(text: str) -> str:
        event_id = search.event_id(text)
        if is_personal(event_id) and not may_be_personal:
            raise ValueError(f"no UUID, ULID or hash: {NOT_ALLOWED}")
        return event_id

    return read


def of_personal(read: Callable[[str], Any], may_be_personal: bool) -> Callable[[str], Any]:
    """`read`, for those who may; a reader that raises ValueError for others."""

    def refuse(_text: str) -> Any:
        raise ValueError(NOT_ALLOWED)

    return read if may_be_personal else refuse
