"""What the API is asked and what it answers, as its OpenAPI page documents them."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from delivery.dead_letters.letter import State
from delivery.domain.vocabulary import Outcome, Reason
from delivery.history import parse, search
from delivery.web import masking
from delivery.web.api.formats import Format

LAST_ID = 2**63 - 1
LONGEST_VALUE = 4_000_000  # bytes of a record in an answer

# How a time and a record are written in a request.
_TIME = {
    "anyOf": [
        {"type": "string", "format": "date-time"},
        {"type": "string", "pattern": "^([0-9]{1,9} ?(s|m|min)|[0-9]{1,5} ?[hdw])$"},
        {
            "type": "string",
            "pattern": "^(today|yesterday)( ([01][0-9]|2[0-3]):[0-5][0-9])?( (UTC|KST))?$",
        },
    ],
    "examples": ["2026-11-23T10:00:00+09:00", "15m"],
}
_COORDINATES = {
    "type": "string",
    "pattern": "^(import:)?[a-zA-Z0-9._-]{1,249}/[0-9]{1,9}/[0-9]{1,18}$",
    "examples": ["OrderCreateEvent/0/1234"],
}
_CURSOR_FORMAT = {"format": "cursor"}


def _coordinates(text: str) -> str:
    parse.coordinates(text)
    return text


Time = Annotated[datetime, BeforeValidator(parse.time), WithJsonSchema(_TIME)]
Coordinates = Annotated[str, AfterValidator(_coordinates), WithJsonSchema(_COORDINATES)]
Text = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]
OrderId = Annotated[int, Field(ge=1, le=LAST_ID)]

_SINCE = (
    "Arrived then or later: ISO 8601, 10:00, today or yesterday 18:30, in UTC where it names no "
    "offset or zone (KST, Asia/Seoul), or 90s, 15min, 2h, 7d, 4w before now."
)
_PERSONAL = "Only for those who may see personal data: 403 for others."
_SLOW = (
    "Fast where `delivery migrate --search-indexes` has built its index; 503 where it takes too "
    "long."
)
_EVENT_ID = (
    "The events with this `eventId`, with all records of the same order and event time, and dead "
    f"letters with it. {_SLOW} What is no UUID, ULID or hash may be personal, as `ordered_by` is."
)
_AN_ID = "7e0b1c0e-6f0b-4e0c-9a57-2f3cf1b1a0d4"
_ORDERED_BY = (
    "All records of the orders whose delivery names this customer, of the "
    f"{search.MOST_ORDERS} orders with the largest ids. Not together with `event_id`. {_SLOW} "
    f"{_PERSONAL}"
)
_CURSOR = "`next` of the page before, as it came, with the same filters."
_AFTER = (
    "To follow the log, the oldest first: `start` (or from `since` on), `now`, and then `after` of "
    "the answer before, with the same filters. Each row comes once, also one that is committed "
    "late: a row is held back until none can appear before it any more."
)
_LIMIT = "So many at most."
_FORMAT = (
    "As by `Accept`: application/json is a page, application/x-ndjson and text/csv are all rows "
    "that match, unless there is a `limit`."
)


class Masked(StrEnum):
    """What stands in the place of a personal value."""

    MASK = masking.MASK


class Filters(BaseModel):
    """Parameters of a request. One that is not known is refused: a typing error hides no rows."""

    model_config = ConfigDict(extra="forbid")


class EventsQuery(Filters):
    """Which events. Where several filters are given, all must hold."""

    since: Annotated[Time | None, Field(description=_SINCE)] = None
    until: Annotated[Time | None, Field(description="Arrived before then.")] = None
    outcome: Annotated[
        list[Outcome], Field(max_length=20, description="May be given several times.")
    ] = []
    record: Annotated[
        Coordinates | None,
        Field(description="TOPIC/PARTITION/OFFSET: what became of this record."),
    ] = None
    order_id: Annotated[OrderId | None, Field(description="Only this order.")] = None
    event_id: Annotated[
        str | None, Field(description=_EVENT_ID, pattern=search.EVENT_ID, examples=[_AN_ID])
    ] = None
    ordered_by: Annotated[int | None, Field(ge=-LAST_ID, le=LAST_ID, description=_ORDERED_BY)] = (
        None
    )
    limit: Annotated[int, Field(ge=1, le=1000, description=_LIMIT)] = 100
    format: Annotated[Format | None, Field(description=_FORMAT)] = None
    cursor: Annotated[
        str | None, Field(max_length=2000, description=_CURSOR, json_schema_extra=_CURSOR_FORMAT)
    ] = None
    after: Annotated[
        str | None, Field(max_length=2000, description=_AFTER, json_schema_extra=_CURSOR_FORMAT)
    ] = None


class DeadLettersQuery(Filters):
    """Which dead letters. Where several filters are given, all must hold."""

    resolution: Annotated[
        State,
        Field(description="`open`: nobody has resolved it."),
    ] = "open"
    reason: Annotated[Reason | None, Field(description="Why the record was rejected.")] = None
    since: Annotated[Time | None, Field(description=_SINCE)] = None
    until: Annotated[Time | None, Field(description="Arrived before then.")] = None
    order_id: Annotated[OrderId | None, Field(description="Only this order.")] = None
    topic: Annotated[Text | None, Field(description="Only this topic.")] = None
    error: Annotated[
        Text | None,
        Field(
            description="The error contains this, in capitals or not; an N may stand for any "
            "number."
        ),
    ] = None
    text: Annotated[
        Text | None,
        Field(
            description="The record's key or value contains this, with the same capitals. "
            f"{_PERSONAL}"
        ),
    ] = None
    limit: Annotated[int, Field(ge=1, le=1000, description=_LIMIT)] = 100
    format: Annotated[Format | None, Field(description=_FORMAT)] = None
    cursor: Annotated[
        str | None, Field(max_length=2000, description=_CURSOR, json_schema_extra=_CURSOR_FORMAT)
    ] = None


Width = Literal["1m", "5m", "15m", "1h", "6h", "1d"]

WIDTHS: dict[str, timedelta] = {
    "1m": timedelta(minutes=1),
    "5m": timedelta(minutes=5),
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "1d": timedelta(days=1),
}
MOST_BUCKETS = 1500  # a day of minutes, and two months of hours


class StatsQuery(Filters):
    """Over which time, in buckets of which width."""

    since: Annotated[Time | None, Field(description=f"{_SINCE} An hour ago if left out.")] = None
    until: Annotated[Time | None, Field(description="Now if left out.")] = None
    bucket: Annotated[
        Width, Field(description=f"A bucket's width. The newest {MOST_BUCKETS} are given.")
    ] = "1m"


class Announcement(BaseModel):
    """Whether the order service was told of a delivery. The coordinates are of that record."""

    model_config = ConfigDict(from_attributes=True)

    status: Literal["announced", "waiting", "not_announced"] = Field(
        description="`waiting`: it is still to be told. `not_announced`: it will not be, for the "
        "delivery was created while announcements were off."
    )
    announced_at: datetime | None
    topic: str | None
    partition: int | None
    offset: int | None


class Header(BaseModel):
    """A header of a record. A name that frameworks do not write may be personal, too."""

    key: Masked | str
    value: Masked | str | None


class Event(BaseModel):
    """What became of a record: a row of `event_history`."""

    order_id: int | None
    event_time: datetime | None
    outcome: Outcome
    record_topic: str
    record_partition: int
    record_offset: int
    record_time: datetime | None
    consumed_at: datetime
    payload: str | None = Field(
        description="JSON text as it was sent, personal values masked unless the service is set "
        "to show them. Null where there is none, and where the answer would become too long."
    )
    payload_bytes: int | None = Field(description="Its length in the log.")
    reason: str | None
    error: str | None
    dead_letter_id: int | None
    resolution: str | None
    record_topic_id: UUID = Field(
        description="Kafka's id of the topic: one that is deleted and made anew under its name has "
        "the same coordinates again. All zeros where it is not known."
    )
    erasure_id: int | None = Field(
        description="The row of `erasures`, where its personal data was erased. The payload is a "
        "mark then, which holds its key."
    )
    announcement: Announcement | None = Field(
        description="Of the delivery that this event created. Null where it created none, and "
        "where nothing was ever to be announced."
    )
    record_headers: list[Header] | None = Field(
        description="The record's headers, text where they are text, and hexadecimal with 0x "
        "otherwise. Null where it had none, where they are not kept (a duplicate's, and those from "
        "before migration 0012) or erased, and where the answer would become too long."
    )


class Events(BaseModel):
    """A page of events: the newest first, and the oldest first for whoever follows the log."""

    events: list[Event]
    next: str | None = Field(description="The cursor of the next page; null on the last one.")
    after: str | None = Field(
        description="For whoever asked with `after`: ask with it again, at once if there are "
        "events, and after a second or so if there are none."
    )


class Delivery(BaseModel):
    """An order's delivery. Personal values are masked unless the service is set to show them."""

    order_id: int
    status: str
    product_id: int | None
    quantity: int | None
    ordered_by: Masked | int | None
    supply_company_id: Masked | int | None
    consume_company_id: Masked | int | None
    request_message: Masked | str | None
    delivery_limited_at: datetime | None
    event_time: datetime
    created_at: datetime
    updated_at: datetime
    is_erased: bool = Field(
        description="The data of the event that shaped it was erased: personal values are null."
    )


class Order(BaseModel):
    """An order: its delivery, if it has one, and what became of its records."""

    order_id: int
    delivery: Delivery | None
    history: list[Event] = Field(description="The newest thousand at most, the oldest first.")
    truncated: bool = Field(description="There are older ones: /api/events?order_id=… has them.")
    archived_months: list[str] = Field(
        description="Months of event times that left the log, such as 2024-11: events of this "
        "order may be among them, and are not in the history."
    )


class Letter(BaseModel):
    """A record that could not be processed, without its contents."""

    dead_letter_id: int
    consumed_at: datetime
    reason: str
    error: str = Field(description="Its first 500 characters.")
    order_id: int | None
    record_topic: str
    record_partition: int
    record_offset: int
    resolution: str | None
    resolved_at: datetime | None
    resolved_by: str | None = Field(
        description="Null while it is open, and where a version resolved it that did not note it."
    )
    advice: str | None = Field(description="What to do about it, while it is open.")


class DeadLetter(Letter):
    """A dead letter with its record, of which personal data is masked unless the service is set to
    show it.

    Key, value and headers are text where they are text, and hexadecimal with 0x otherwise.
    """

    error: str
    record_topic_id: UUID
    record_time: datetime | None
    record_key: Masked | str | None
    record_value: Masked | str | None
    record_headers: list[Header]
    value_bytes: int | None = Field(description="The value's length; null where it is null.")
    is_cut: bool = Field(description=f"The value has only its first {LONGEST_VALUE:,} bytes.")
    resolution_note: Masked | str | None
    erasure_id: int | None = Field(
        description="The row of `erasures`, where key, value, headers and error were erased."
    )


class Letters(BaseModel):
    """A page of dead letters, the newest first."""

    dead_letters: list[Letter]
    next: str | None = Field(description="The cursor of the next page; null on the last one.")


class Bucket(BaseModel):
    """The records that arrived from `start` on, until the next bucket's start."""

    start: datetime
    counts: dict[Outcome, int] | None = Field(description="Null where it is not wholly counted.")


class DeliveryCounts(BaseModel):
    """How many deliveries have which status."""

    counts: dict[str, int]
    counted_at: datetime


class Behind(BaseModel):
    """How far the group is behind in a partition."""

    topic: str
    partition: int
    committed: int | None = Field(description="Null where the group has committed nothing yet.")
    end: int
    lag: int


class Stats(BaseModel):
    """Counts. They are made beside the requests and are some seconds old."""

    since: datetime = Field(description="From here on; later than asked where that is too much.")
    until: datetime
    bucket: Width
    buckets: list[Bucket] = Field(description="The oldest first; they start at whole multiples.")
    counted_since: datetime | None = Field(description="Everything since then is counted.")
    counted_at: datetime | None = Field(description="When the newest records were counted.")
    deliveries: DeliveryCounts | None = Field(description="Null before they are first counted.")
    open_dead_letters: dict[str, int] = Field(description="For each reason; 1000 means or more.")
    lag: list[Behind] | None = Field(description="Null where it is not known: see `no_lag`.")
    no_lag: str | None = Field(description="Why the lag is not known.")
