"""Streams of records from a seed, and the truth about them, told without a line of delivery's code.

A stream holds what happens to orders: new ones, resends to the byte and respelled, other contents
under the same key, newer and older events, and records that are broken in some way.
"""

import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, NamedTuple

from broken import BROKEN

Coordinates = tuple[int, int]  # partition, offset
Key = tuple[int, datetime]  # order_id, event_time
Columns = tuple[Any, ...]  # a delivery's, but for order_id, status and the clocks

# The fields of an order that are kept as they are sent, and the columns that they fill.
FIELDS = {
    "productId": "product_id",
    "quantity": "quantity",
    "orderedBy": "ordered_by",
    "supplyCompanyId": "supply_company_id",
    "consumeCompanyId": "consume_company_id",
    "requestMessage": "request_message",
}
COLUMNS = ", ".join((*FIELDS.values(), "delivery_limited_at", "event_time"))
MESSAGES = ("문 앞에 놓아 주세요", "", "ring twice\n", '"\\', "\u2028😀")
KINDS = {"new": 55, "resent": 9, "respelled": 4, "conflict": 5, "other time": 20, "broken": 7}


class Event(NamedTuple):
    """What a good record says. `document` is its value as JSON."""

    order_id: int
    event_time: datetime
    columns: Columns
    document: dict[str, Any]


class Sent(NamedTuple):
    """A record to publish, and what it is: an event, or else the reason why it is none."""

    partition: int
    key: bytes | None
    value: bytes | None
    milliseconds: int  # its timestamp
    event: Event | None
    reason: str | None = None


@dataclass
class Truth:
    """What must become of a stream whose orders lie in one partition each."""

    outcomes: dict[Coordinates, str] = field(default_factory=dict)
    deliveries: dict[int, Columns] = field(default_factory=dict)


def stream(
    seed: int, count: int, partitions: int = 1, keyed: bool = False, zone: tzinfo = UTC
) -> list[Sent]:
    """`count` records, in the order to publish them. Times without offset are local in `zone`.

    With `keyed` the records of an order lie in one partition, otherwise anywhere.
    """
    rng, now = random.Random(seed), datetime.now(UTC).replace(microsecond=0)
    start = round(now.timestamp() * 1000)
    sent: list[Sent] = []
    good: list[Sent] = []
    for number in range(count):
        kind = rng.choices(list(KINDS), list(KINDS.values()))[0] if good else "new"
        record = _record(rng, kind, number + 1, good, now, zone)
        if record.event is not None:
            good.append(record)
        partition, key = rng.randrange(partitions), record.key
        if keyed and record.event is not None:
            order_id = record.event.order_id
            partition, key = order_id % partitions, str(order_id).encode()
        sent.append(record._replace(partition=partition, key=key, milliseconds=start + number))
    return sent


def truth(sent: Sequence[Sent]) -> Truth:
    """The fold of the records in their order, one at a time."""
    told, log, shaped = Truth(), dict[Key, Any](), dict[int, Event]()
    for place, record in places(sent).items():
        if record.event is None:
            told.outcomes[place] = "rejected"
            continue
        outcome = told.outcomes[place] = _outcome(log, shaped, record.event)
        if outcome in {"created", "updated"}:
            shaped[record.event.order_id] = record.event
    told.deliveries = {order_id: event.columns for order_id, event in shaped.items()}
    return told


def places(sent: Sequence[Sent]) -> dict[Coordinates, Sent]:
    """Where each record lies, if they are published in this order and there are no others."""
    ends = Counter[int]()
    found = {}
    for record in sent:
        found[record.partition, ends[record.partition]] = record
        ends[record.partition] += 1
    return found


def _outcome(log: dict[Key, Any], shaped: dict[int, Event], event: Event) -> str:
    key = event.order_id, event.event_time
    if key in log:
        return "duplicate" if log[key] == event.document else "conflict"
    log[key] = event.document
    if event.order_id not in shaped:
        return "created"
    return "updated" if event.event_time > shaped[event.order_id].event_time else "stale"


def _record(
    rng: random.Random, kind: str, number: int, good: list[Sent], now: datetime, zone: tzinfo
) -> Sent:
    # Half of what comes again comes soon: within a batch and across batches.
    before = rng.choice(good[-50:] if rng.random() < 0.5 else good) if good else None
    if before is None or before.event is None or kind == "new":
        return _event(rng, number, _moment(rng, now), zone)
    match kind:
        case "resent":
            return before
        case "respelled":
            document = before.event.document
            respelled = json.dumps(document, indent=rng.choice([None, 1]), sort_keys=True)
            return before._replace(value=respelled.encode())
        case "conflict":
            return _event(rng, before.event.order_id, before.event.event_time, zone)
        case "broken":
            value, reason = rng.choice(list(BROKEN.values()))
            return Sent(0, b"\0\xff", value, 0, None, reason)  # a tombstone must have a key
        case _:
            return _event(rng, before.event.order_id, _moment(rng, now), zone)


def _event(rng: random.Random, order_id: int, event_time: datetime, zone: tzinfo) -> Sent:
    limit = _moment(rng, event_time + timedelta(days=500)) if rng.random() < 0.5 else None
    order: dict[str, Any] = {"orderId": order_id, "giftWrap": {"color": "\0", "price": 1.5}}
    order |= {name: rng.choice([None, rng.randint(-9, 10**9)]) for name in FIELDS}
    order["requestMessage"] = rng.choice(MESSAGES)
    order = {name: value for name, value in order.items() if value is not None}
    columns = tuple(order.get(name) for name in FIELDS)
    if limit is not None:
        order["deliveryLimitedAt"] = _written(rng, limit, zone)
    document = {"event": order, "createdAt": _written(rng, event_time, zone), "eventId": order_id}
    value = json.dumps(document, ensure_ascii=rng.random() < 0.5).encode()
    event = Event(order_id, event_time, (*columns, limit, event_time), document)
    return Sent(0, None, value, 0, event)


def _moment(rng: random.Random, before: datetime) -> datetime:
    """A moment of the last 400 days, or 10 years ago, where the log has no monthly partition."""
    days = rng.uniform(3650, 3660) if rng.random() < 0.05 else rng.uniform(0, 400)
    moment = before - timedelta(days=days)
    match rng.randrange(3):
        case 0:
            return moment.replace(second=0, microsecond=0)
        case 1:
            return moment.replace(microsecond=0)
        case _:
            return moment


def _written(rng: random.Random, time: datetime, zone: tzinfo) -> Any:
    """The time in one of the forms that are on the wire, some with digits below a microsecond."""
    local = time.astimezone(zone).replace(tzinfo=None)
    match rng.randrange(4):
        case 0:
            return _array(local, nanoseconds=rng.randrange(1000))
        case 1:
            return local.isoformat()
        case 2:
            elsewhere = timezone(timedelta(minutes=rng.choice([-570, 0, 540])))
            return time.astimezone(elsewhere).isoformat(timespec="microseconds")
        case _:
            return time.strftime(f"%Y-%m-%dT%H:%M:%S.%f{rng.randrange(1000):03}Z")


def _array(local: datetime, nanoseconds: int) -> list[int]:
    """As Jackson writes it: zeros at the end are left out."""
    numbers = [*local.timetuple()[:6]]
    if local.microsecond:
        return [*numbers, local.microsecond * 1000 + nanoseconds]
    return numbers if local.second else numbers[:5]
