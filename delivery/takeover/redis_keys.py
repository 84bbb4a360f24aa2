"""What the service before kept in Redis: for each order the time of its last event.

`event:order:1001` -> `2026-01-01T00:01:14.254`, local time of the machine that wrote it. Keys are
walked through with SCAN, a page at a time: Redis serves others meanwhile, and none is missed that
is there all the time. One that expires or changes in between is taken as it is when it is read.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import tzinfo
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from delivery.domain.event_time import InvalidTimeError, parse_time
from delivery.errors import SettingsError, UnavailableError
from delivery.takeover.baseline import Known, Line, known

if TYPE_CHECKING:
    from redis import Redis

# A password that is not percent-encoded would be read as a host, a port or a path, and told as one.
_URL = re.compile(r"(rediss?://([^@/?#]*@)?[^@/?#]*(/\d*)?|unix://([^@/?#]*@)?/[^@?#]*)(\?[^@#]*)?")
_NO_URL = (
    "--redis must look like redis://user:password@host:6379/0, in which @ / ? # of a password are "
    "percent-encoded (%40 for @)"
)

PREFIX = b"event:order:"
PAGE = 2000  # keys in one answer
TIMEOUT_S = 10.0

_GONE = b"none"  # the type of a key that is not there


def name_of(url: str) -> str:
    """The server and the database, without a login."""
    parts = urlsplit(url)
    return f"redis-{parts.hostname or 'localhost'}-{parts.port or 6379}{parts.path.rstrip('/')}"


@contextmanager
def connected(url: str) -> Iterator["Redis"]:
    """A client. Raises SettingsError or UnavailableError, also for what fails in the block."""
    try:
        from redis import Redis
        from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
    except ModuleNotFoundError as error:
        raise SettingsError(
            "`delivery import --redis` needs redis: pip install 'delivery[redis]'"
        ) from error
    if not _URL.fullmatch(url):
        raise SettingsError(_NO_URL)
    try:
        client = Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
    except ValueError:
        raise SettingsError(_NO_URL) from None
    try:
        with client:
            client.ping()
            yield client
    except (AuthenticationError, NoPermissionError) as error:
        raise SettingsError(f"Redis refuses the login or a command of --redis: {error}") from error
    except RedisError as error:
        raise UnavailableError(f"Redis can't be reached at {name_of(url)}: {error}") from error


def lines(client: "Redis", zone: tzinfo) -> Iterator[Line]:
    """The keys' orders and times, or what is wrong with one. They are numbered in the order in
    which Redis tells them, which is another one each time.
    """
    number = 0
    for keys in _pages(client):
        for key, value in zip(keys, _values(client, keys), strict=True):
            number += 1
            if value is not None:
                yield number, value if isinstance(value, str) else _read(number, key, value, zone)


def _pages(client: "Redis") -> Iterator[Sequence[bytes]]:
    cursor = None
    while cursor != 0:
        answer: Any = client.scan(cursor or 0, match=PREFIX + b"*", count=PAGE)
        cursor, keys = int(answer[0]), answer[1]
        if keys:
            yield keys


def _values(client: "Redis", keys: Sequence[bytes]) -> list[bytes | str | None]:
    """Of each key its value, or why it has none; None where it expired in between."""
    values: Any = client.mget(keys)  # which says of a key of another type that it is not there
    absent = [key for key, value in zip(keys, values, strict=True) if value is None]
    if not absent:
        return list(values)
    with client.pipeline(transaction=False) as pipeline:
        for key in absent:
            pipeline.type(key)
        types = dict(zip(absent, pipeline.execute(), strict=True))
    return [
        value if value is not None else _of_another_type(key, types[key])
        for key, value in zip(keys, values, strict=True)
    ]


def _of_another_type(key: bytes, kind: bytes) -> str | None:
    # One that is a string by now was written in between: the next run has it.
    return None if kind == _GONE else f"{_name(key)} is a {kind.decode()}, and no time"


def _read(number: int, key: bytes, value: bytes, zone: tzinfo) -> Known | str:
    order = key.removeprefix(PREFIX)
    if not order.isdigit() or not 1 <= int(order) < 2**63:
        return f"{_name(key)} does not end with an order's id"
    try:
        return known(number, int(order), parse_time(value.decode(), zone))
    except UnicodeDecodeError:
        return f"{_name(key)}: the value is not text in UTF-8"
    except InvalidTimeError as error:
        return f"{_name(key)}: the value {error}"


def _name(key: bytes) -> str:
    return key.decode(errors="backslashreplace")
