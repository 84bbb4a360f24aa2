"""Rows as the API answers them; personal values are masked unless the setting shows them."""

from typing import TYPE_CHECKING

from fastapi import Request

from delivery.broker.lag import Behind
from delivery.dead_letters import rendering
from delivery.dead_letters.advice import advice
from delivery.dead_letters.letter import DeadLetter
from delivery.history import Row
from delivery.web import masking
from delivery.web.api import models
from delivery.web.poller import Snapshot

if TYPE_CHECKING:
    from delivery.settings import WebSettings


class Serializer:
    """Makes models of rows, masked where the settings say so."""

    def __init__(self, request: Request) -> None:
        settings: WebSettings = request.app.state.settings
        self._is_masked = not settings.web_show_personal_data

    def event(self, row: Row) -> models.Event:
        """A row of `history.page` with its announcement.

        A payload that was cut to its beginning is left out.
        """
        payload = row["payload"] if row["is_whole"] else None
        if self._is_masked and payload is not None and row["erasure_id"] is None:
            payload = masking.masked_payload(payload)
        headers = rendering.event_headers(row["record_headers"])
        if self._is_masked and headers is not None:
            headers = masking.masked_headers(headers)
        return models.Event(**row | {"payload": payload, "record_headers": headers})

    def delivery(self, row: Row) -> models.Delivery:
        """A row of `deliveries`. Null stays null: it says that there is nothing."""
        if self._is_masked:
            personal = {n for n in masking.PERSONAL_COLUMNS if row[n] is not None}
            row = row | {name: masking.mask(row[name]) for name in personal}
        return models.Delivery(**row)

    def dead_letter(self, letter: DeadLetter) -> models.DeadLetter:
        """A letter of `dead_letters.queries.find`."""
        shown = rendering.members(letter)
        if self._is_masked:
            shown = masking.masked_letter(shown)
        return models.DeadLetter(
            **shown, value_bytes=letter.value_bytes, is_cut=letter.is_cut and not self._is_masked
        )


def letter(row: Row) -> models.Letter:
    """A row of `dead_letters.queries.newest_first`."""
    beginning, length = row["beginning"], row["value_bytes"]
    is_cut = beginning is not None and len(beginning) < length
    is_open = row["resolution"] is None
    text = advice(row["reason"], beginning, is_cut=is_cut) if is_open else None
    return models.Letter(**row, advice=text)


def delivery_counts(counted: Snapshot[dict[str, int]]) -> models.DeliveryCounts | None:
    """The deliveries by status as they were counted last, if they were."""
    if counted.value is None or counted.at is None:
        return None
    return models.DeliveryCounts(counts=counted.value, counted_at=counted.at)


def lag(partitions: list[Behind] | None) -> list[models.Behind] | None:
    """The partitions, if they are known."""
    if partitions is None:
        return None
    return [models.Behind.model_validate(p, from_attributes=True) for p in partitions]
