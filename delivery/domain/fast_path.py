"""The contract once more, for msgspec, which reads a value in half of pydantic's time. Pure.

It only ever accepts. What it does not read goes to `schema`, which accepts it or says why not, so
that the words of a rejection have one source. It must not accept what `schema` refuses: a field
that nobody asks for msgspec skips, and what it does not look at there `read` looks at itself.
"""

from typing import Annotated

from msgspec import DecodeError, Meta, Struct, convert
from msgspec.json import Decoder

from delivery.domain import schema

Int32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
OrderId = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Time = Annotated[list[int], Meta(min_length=5, max_length=7)] | str

# pydantic's parser refuses numbers of more digits, and more levels, than these. Where it skips a
# field, msgspec counts neither; a value of so few bytes has no room for them.
MOST_DIGITS = 4300
MOST_LEVELS = 200
FEW_BYTES = 450


class Order(Struct, rename="camel", gc=False):
    """The fields of `schema`'s order."""

    order_id: OrderId
    product_id: Int64 | None = None
    quantity: Int32 | None = None
    ordered_by: Int64 | None = None
    supply_company_id: Int64 | None = None
    consume_company_id: Int64 | None = None
    request_message: str | None = None
    delivery_limited_at: Time | None = None


class Envelope(Struct, rename="camel", gc=False):
    """The fields of `schema.Envelope`."""

    event: Order
    created_at: Time


_decode = Decoder(Envelope).decode


def read(value: bytes) -> Envelope | None:
    """The fields of a record's value, or None where `schema` has to read it. Never raises."""
    if len(value) > FEW_BYTES and _may_be_refused(value):
        return None
    try:
        if not value.isascii():
            value.decode()
        envelope = _decode(value)
    except (DecodeError, UnicodeDecodeError):
        return None
    message = envelope.event.request_message
    return None if message and "\0" in message else envelope


def _may_be_refused(value: bytes) -> bool:
    """Whether a field that msgspec skips may have too many digits or levels."""
    return len(value) > MOST_DIGITS or value.count(b"[") + value.count(b"{") > MOST_LEVELS


def envelope_of(fields: schema.Envelope) -> Envelope:
    """The same fields, of a value that `schema.read` accepted."""
    return convert(fields, Envelope)
