"""The records: events in the wire format, the same ones from the same seed and start."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

RECENT = 5000  # a record comes again among so many: within a batch and across batches


class Sent(NamedTuple):
    """A record's value, and the order that it is about."""

    order_id: int
    value: bytes


@dataclass(frozen=True)
class Mix:
    """Shares of what comes again: the same record, and the same order at another time."""

    resent: float = 0.10
    other_time: float = 0.03
    newer: bool = True  # half of the other times; without, all of them are older


MIXED = Mix()
OLDER_ONLY = Mix(newer=False)  # in which no design needs more than one delivery for an order
ALL_NEW = Mix(0, 0)


def records(
    count: int,
    start: datetime,
    mix: Mix = MIXED,
    first_id: int = 1,
    random_ids: bool = False,
    seed: int = 1,
) -> Iterator[Sent]:
    """`count` records whose events are a millisecond apart, from `start` on.

    Order ids go up from `first_id`, or are drawn from 62 bits.
    """
    rng = random.Random(seed)  # noqa: S311
    recent: list[tuple[Sent, datetime]] = []
    for number in range(count):
        share, time = rng.random(), start + timedelta(milliseconds=number)
        if recent and share < mix.resent:
            yield rng.choice(recent)[0]
            continue
        if recent and share < mix.resent + mix.other_time:
            before, at = rng.choice(recent)
            distance = timedelta(milliseconds=rng.randint(1, 60_000))
            later = mix.newer and rng.random() < 0.5
            order_id, time = before.order_id, at + distance if later else at - distance
        else:
            order_id = rng.getrandbits(62) + 1 if random_ids else first_id
            first_id += 1
        sent = Sent(order_id, _value(rng, order_id, time))
        yield sent
        _remember(recent, sent, time, number)


def _remember(recent: list[tuple[Sent, datetime]], sent: Sent, time: datetime, number: int) -> None:
    if len(recent) < RECENT:
        recent.append((sent, time))
    else:
        recent[number % RECENT] = sent, time


def _value(rng: random.Random, order_id: int, time: datetime) -> bytes:
    limit = _array(time + timedelta(days=3))
    return (
        f'{{"event":{{"orderId":{order_id},"productId":{rng.randint(1, 9999)},'
        f'"quantity":{rng.randint(1, 99)},"orderedBy":{rng.randint(1, 99999)},'
        f'"consumeCompanyId":{rng.randint(1, 999)},"supplyCompanyId":{rng.randint(1, 999)},'
        f'"requestMessage":"문 앞에 놓아 주세요","deliveryLimitedAt":{limit}}},'
        f'"eventId":"{rng.getrandbits(128):032x}","createdAt":{_array(time)},'
        '"eventType":"com.example.order.OrderCreateEvent",'
        '"source":"orderService.createOrder"}'
    ).encode()


def _array(time: datetime) -> str:
    """As Jackson writes a LocalDateTime: zeros at the end are left out."""
    numbers = [*time.timetuple()[:6]]
    if time.microsecond:
        numbers.append(time.microsecond * 1000)
    elif not time.second:
        del numbers[5]
    return f"[{','.join(map(str, numbers))}]"
