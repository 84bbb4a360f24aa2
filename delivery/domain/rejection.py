"""Why a record can't become an event. Pure."""

from dataclasses import dataclass

from delivery.domain.vocabulary import Reason


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a record can't become an event. `error` holds no value of the record, only names."""

    reason: Reason
    error: str
    order_id: int | None = None
