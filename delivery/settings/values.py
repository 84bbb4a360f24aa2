"""The kinds of values that settings have: how each is read, and what is said where it is wrong."""

import re
from datetime import UTC, timedelta, tzinfo
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    SecretStr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
)
from pydantic_settings import NoDecode, SettingsConfigDict

from delivery.database_url import DatabaseUrl
from delivery.local_time import zones

PREFIX = "DELIVERY_"

CONFIG = SettingsConfigDict(
    env_prefix=PREFIX, arbitrary_types_allowed=True, env_ignore_empty=True, frozen=True
)

# A host name or address, an IPv6 address in brackets, and a port.
_SERVER = re.compile(r"([\w.-]+|\[[0-9A-Fa-f:.]+\]):([1-9]\d{0,4})", re.ASCII)
# As libpq reads what follows a URL's scheme. With an @ or a / in a password it takes the rest of it
# for a host's name or a port, and says so in its errors.
_AUTHORITY = re.compile(r"((?P<user>[^@/]*)@)?(?P<servers>[^@/?]*)(/[^@?]*)?(\?.*)?")
_ENCODED_IN_USER = re.compile(r"[^?#\[\]]*")  # the others mean themselves
_URL_SERVER = re.compile(r"([\w.%-]*|\[[\w:.%-]+\])(:(?P<port>\d{0,5}))?")
_NO_URL = (
    "is not a URL that PostgreSQL understands: in a user's name and a password @ is written %40, "
    "/ %2F, # %23, ? %3F, [ %5B, ] %5D and % %25 (percent-encoding)"
)
_HOST_NAME = re.compile(r"\*|(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?", re.ASCII)
_KAFKA_UI_URL = re.compile(r"https?://(?:[^\s{}]|\{(?:topic|partition|offset)\})+")
_ISO_DURATION = TypeAdapter(timedelta)


def _postgresql_url(value: SecretStr, field: ValidationInfo) -> DatabaseUrl:
    scheme, separator, rest = value.get_secret_value().partition("://")
    if not separator or scheme not in {"postgresql", "postgres", "postgresql+psycopg"}:
        raise ValueError("must look like postgresql://user:password@host:5432/database")
    if not _is_unambiguous(rest):
        raise ValueError(_NO_URL)
    # Imported here: without a database's URL a command starts 0.1 s faster.
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    url = f"postgresql://{rest}"
    try:
        conninfo_to_dict(url)
    except ProgrammingError:  # its text would repeat the password
        raise ValueError(_NO_URL) from None
    return DatabaseUrl(url, f"{PREFIX}{field.field_name}".upper())


def _is_unambiguous(rest: str) -> bool:
    """Whether each program reads the same server and the same password there."""
    parts = _AUTHORITY.fullmatch(rest)
    if parts is None or not _ENCODED_IN_USER.fullmatch(parts["user"] or ""):
        return False
    servers = [_URL_SERVER.fullmatch(server) for server in parts["servers"].split(",")]
    return all(server and int(server["port"] or 0) <= 65535 for server in servers)


def _zone(value: object) -> object:
    if not isinstance(value, str):
        return value
    zone = UTC if value == "UTC" else zones.of_database(value)  # datetime's own is faster
    if zone is None:
        raise ValueError("is not a time zone of the IANA database, such as Asia/Seoul")
    return zone


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    try:
        return timedelta(seconds=float(str(value)))
    except (ValueError, OverflowError):
        pass
    try:
        return _ISO_DURATION.validate_python(value)
    except ValidationError:
        raise ValueError(
            "must be a number of seconds or an ISO 8601 duration such as PT45S"
        ) from None


LONGEST_SESSION_TIMEOUT = timedelta(minutes=30)  # group.max.session.timeout.ms of a broker


def _between_a_second_and_half_an_hour(value: timedelta) -> timedelta:
    if not timedelta(seconds=1) <= value <= LONGEST_SESSION_TIMEOUT:
        raise ValueError("must be between 1 and 1800 seconds")
    return value


def _between_an_hour_and_a_year(value: timedelta) -> timedelta:
    if not timedelta(hours=1) <= value <= timedelta(days=366):
        raise ValueError("must be between an hour and a year, such as P7D")
    return value


def _between_a_minute_and_a_month(value: timedelta) -> timedelta:
    if not timedelta(minutes=1) <= value <= timedelta(days=31):
        raise ValueError("must be between a minute and 31 days, such as PT8H")
    return value


def _not_negative(value: timedelta) -> timedelta:
    if value < timedelta(0):
        raise ValueError("must not be negative")
    return value


def _bootstrap_servers(value: str) -> str:
    servers = [server.strip() for server in value.split(",")]
    for server in servers:
        match = _SERVER.fullmatch(server)
        if match is None or int(match[2]) > 65535:
            raise ValueError("must look like host:9092, several separated by commas")
    return ",".join(servers)


def _host_names(value: object) -> object:
    if not isinstance(value, str):
        return value
    names = [name.strip().lower() for name in value.split(",")]
    if not all(map(_HOST_NAME.fullmatch, names)):
        raise ValueError(
            "must be names such as delivery.example.com, *.example.com or *, separated by commas, "
            "without ports"
        )
    return tuple(name.removesuffix(".") for name in names)


def _kafka_ui_url(value: str) -> str:
    if not _KAFKA_UI_URL.fullmatch(value) or "{topic}" not in value:
        raise ValueError(
            "must be an address with {topic}, {partition} and {offset} in it, such as "
            "https://kafka-ui.example/topics/{topic}?p={partition}&s={offset}"
        )
    return value


def _networks(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return tuple(ip_network(text.strip()) for text in value.split(","))
    except ValueError:
        raise ValueError(
            "must be addresses or networks such as 10.0.0.7 or 10.1.0.0/16, separated by commas"
        ) from None


def _names(value: object) -> object:
    if not isinstance(value, str):
        return value
    names = tuple(name.strip() for name in value.split(","))
    if not all(name.removeprefix("group:") for name in names):
        raise ValueError("must be names such as kim or group:support, separated by commas")
    return names


def _readable(value: Path) -> Path:
    try:
        value.open("rb").close()
    except OSError as error:
        raise ValueError(f"can't be read: {error.strerror}") from None
    return value


def _matching(pattern: str, otherwise: str) -> AfterValidator:
    """Pydantic's own `pattern` would tell people the pattern."""
    form = re.compile(pattern)

    def matched(value: str) -> str:
        if not form.fullmatch(value):
            raise ValueError(otherwise)
        return value

    return AfterValidator(matched)


PostgresqlUrl = Annotated[SecretStr, AfterValidator(_postgresql_url)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
SessionTimeout = Annotated[Duration, AfterValidator(_between_a_second_and_half_an_hour)]
Skew = Annotated[Duration, AfterValidator(_not_negative)]
WebTimeout = Annotated[Duration, AfterValidator(_between_a_second_and_half_an_hour)]
SessionLifetime = Annotated[Duration, AfterValidator(_between_a_minute_and_a_month)]
Horizon = Annotated[Duration, AfterValidator(_between_an_hour_and_a_year)]
Zone = Annotated[tzinfo, BeforeValidator(_zone)]
BootstrapServers = Annotated[str, AfterValidator(_bootstrap_servers)]
HostNames = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_host_names)]
Network = IPv4Network | IPv6Network
Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)]  # of users and groups
PathPrefix = Annotated[
    str,
    _matching(
        r"(/(?!\.\.?(/|$))[A-Za-z0-9._~-]+)*",
        "must be a path such as /delivery: segments of a-z, A-Z, 0-9, . _ ~ -, no slash at its end",
    ),
]
HeaderName = Annotated[str, _matching(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", "must be a header's name")]
TopicName = Annotated[
    str,
    _matching(
        r"[a-zA-Z0-9._-]{1,249}", "must be a topic's name: up to 249 of a-z, A-Z, 0-9, . _ -"
    ),
]
ReadableFile = Annotated[Path, AfterValidator(_readable)]
Level = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(str.upper)]
Mechanism = Literal[
    "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI", "AWS_MSK_IAM"
]
OneLine = Annotated[
    str, _matching(r"[^\x00-\x1f]{1,249}", "must be one line of at most 249 characters")
]
HttpUrl = Annotated[
    str,
    _matching(
        r"https?://[^\s/@]+(/\S*)?",
        "must be a URL such as https://idp.example.com/token, without a user or a password",
    ),
]
KafkaUiUrl = Annotated[str, AfterValidator(_kafka_ui_url)]
