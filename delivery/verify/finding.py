"""What verify finds: a kind that stays the same from version to version, and where."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from delivery.domain.record import Coordinates

Kind = Literal[
    "missing_delivery",
    "extra_delivery",
    "different_delivery",
    "contradicted_outcome",
    "undecodable_payload",
    "payload_of_another_key",
    "duplicate_of_no_event",
    "coordinates_twice",
    "replayed_nowhere",
    "unaccounted_record",
    "unannounced_delivery",
    "announced_and_open",
    "announced_nothing",
    "erased_by_nobody",
    "not_erased",
]


@dataclass(frozen=True, slots=True)
class Finding:
    """One contradiction to the guarantee. It holds no payload and no personal data.

    `columns` are those of a delivery that differ; what does not apply is None or empty.
    """

    kind: Kind
    detail: str
    order_id: int | None = None
    event_time: datetime | None = None
    coordinates: Coordinates | None = None
    columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line: the kind, where, and a colon before what."""
        where = []
        if self.order_id is not None:
            where.append(f"order {self.order_id}")
        if self.event_time is not None:
            where.append(f"event of {self.event_time.isoformat()}")
        if self.coordinates is not None:
            where.append(f"record {'/'.join(map(str, self.coordinates))}")
        return f"{self.kind} {', '.join(where)}: {self.detail}"
