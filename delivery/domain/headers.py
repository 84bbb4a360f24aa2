"""A record's headers as JSON without loss: the form of each column `record_headers`. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from msgspec.json import Encoder

from delivery.domain.record import Header

Members = Mapping[str, str | None]


_encode = Encoder().encode  # in a quarter of the time that Python's own takes


def to_json(headers: Iterable[Header]) -> bytes:
    """An array with an object for each header: its key, and its value as UTF-8 text or as hex."""
    return _encode([_members(*header) for header in headers])


def from_json(array: Sequence[Members]) -> list[Header]:
    """The headers of an array that `to_json` wrote, in their order."""
    return [_header(members) for members in array]


def _members(key: str, value: bytes | None) -> Members:
    if value is None:
        return {"key": key, "value": None}
    try:
        return {"key": key, "value": value.decode()}
    except UnicodeDecodeError:
        return {"key": key, "value_hex": value.hex()}


def _header(members: Members) -> Header:
    key, value, value_hex = (members.get(name) for name in ("key", "value", "value_hex"))
    if value_hex is not None:
        return str(key), bytes.fromhex(value_hex)
    return str(key), None if value is None else value.encode()
