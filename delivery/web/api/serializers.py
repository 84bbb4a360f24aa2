"""Rows as the API answers them; personal values are masked unless the setting shows them."""

from typing import TYPE_CHECKING, Any

from fastapi import Request

from delivery.broker.lag import Behind
from delivery.dead_letters.advice import ADVICE
from delivery.history import PAGE_COLUMNS, Row
from delivery.web import masking
from delivery.web.api import models
from delivery.web.background import Seen

if TYPE_CHECKING:
    from delivery.settings import WebSettings


class Shown:
    """Makes answers of rows, as the settings allow."""

    def __init__(self, request: Request) -> None:
        settings: WebSettings = request.app.state.settings
        self._is_masked = not settings.web_show_personal_data

    def event(self, row: Row) -> models.Event:
        """A row of `history.page`."""
        members = dict(zip(PAGE_COLUMNS, row, strict=True))
        if self._is_masked and members["payload"] is not None:
            members["payload"] = masking.masked_payload(members["payload"])
        return models.Event(**members)

    def delivery(self, row: dict[str, Any]) -> models.Delivery:
        """A row of `deliveries`. What is null stays: it says that there is nothing."""
        if self._is_masked:
            personal = {n for n in masking.PERSONAL_COLUMNS if row[n] is not None}
            row = row | {name: masking.mask(row[name]) for name in personal}
        return models.Delivery(**row)


def letter(row: dict[str, Any]) -> models.Letter:
    """A row of `queries.letters`."""
    advice = ADVICE[row["reason"]] if row["resolution"] is None else None
    return models.Letter(**row, advice=advice)


def counted(seen: Seen[dict[str, int]]) -> models.DeliveryCounts | None:
    """The deliveries as they were counted last, if they were."""
    if seen.value is None or seen.at is None:
        return None
    return models.DeliveryCounts(counts=seen.value, counted_at=seen.at)


def lag(partitions: list[Behind] | None) -> list[models.Behind] | None:
    """The partitions, if they are known."""
    if partitions is None:
        return None
    return [models.Behind.model_validate(p, from_attributes=True) for p in partitions]
