"""The settings: read once from the environment, validated with messages that name the variable.

This is the only module that reads the environment. Secrets are `SecretStr`: they never reach a
log, an error or `repr`.
"""

import re
from datetime import UTC, timedelta, tzinfo
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from zoneinfo import ZoneInfo

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from delivery.errors import SettingsError

PREFIX = "DELIVERY_"

# A host name or address, an IPv6 address in brackets, and a port.
_SERVER = re.compile(r"([\w.-]+|\[[0-9A-Fa-f:.]+\]):([1-9]\d{0,4})", re.ASCII)
_ISO_DURATION = TypeAdapter(timedelta)


def _postgresql_url(value: SecretStr) -> SecretStr:
    scheme, separator, rest = value.get_secret_value().partition("://")
    if not separator or scheme not in {"postgresql", "postgres", "postgresql+psycopg"}:
        raise ValueError("must look like postgresql://user:password@host:5432/database")
    url = f"postgresql://{rest}"
    try:
        conninfo_to_dict(url)
    except ProgrammingError:  # its text would repeat the password
        raise ValueError("is not a URL that PostgreSQL understands") from None
    return SecretStr(url)


def _zone(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return UTC if value == "UTC" else ZoneInfo(value)  # datetime's own is faster
    except (KeyError, OSError, ValueError):  # ZoneInfoNotFoundError is a KeyError
        raise ValueError("is not a time zone of the IANA database, such as Asia/Seoul") from None


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


def _between_a_second_and_half_an_hour(value: timedelta) -> timedelta:
    if not timedelta(seconds=1) <= value <= timedelta(minutes=30):  # more no broker allows
        raise ValueError("must be between 1 and 1800 seconds")
    return value


def _between_an_hour_and_a_year(value: timedelta) -> timedelta:
    if not timedelta(hours=1) <= value <= timedelta(days=366):
        raise ValueError("must be between an hour and a year, such as P7D")
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


def _readable(value: Path) -> Path:
    try:
        value.open("rb").close()
    except OSError as error:
        raise ValueError(f"can't be read: {error.strerror}") from None
    return value


PostgresqlUrl = Annotated[SecretStr, AfterValidator(_postgresql_url)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
SessionTimeout = Annotated[Duration, AfterValidator(_between_a_second_and_half_an_hour)]
Skew = Annotated[Duration, AfterValidator(_not_negative)]
WebTimeout = Annotated[Duration, AfterValidator(_between_a_second_and_half_an_hour)]
Horizon = Annotated[Duration, AfterValidator(_between_an_hour_and_a_year)]
Zone = Annotated[tzinfo, BeforeValidator(_zone)]
BootstrapServers = Annotated[str, AfterValidator(_bootstrap_servers)]
TopicName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]
ReadableFile = Annotated[Path, AfterValidator(_readable)]
Level = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(str.upper)]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

_CONFIG = SettingsConfigDict(
    env_prefix=PREFIX, arbitrary_types_allowed=True, env_ignore_empty=True, frozen=True
)


class DatabaseSettings(BaseSettings):
    """Where PostgreSQL is: every command but `publish` and `schema` needs it."""

    model_config = _CONFIG

    database_url: PostgresqlUrl


class KafkaSettings(BaseSettings):
    """Where Kafka is, and how to talk to it."""

    model_config = _CONFIG

    kafka_bootstrap_servers: BootstrapServers
    kafka_topic: TopicName = "OrderCreateEvent"
    kafka_group_id: Annotated[str, Field(min_length=1)] = "group-delivery"
    kafka_session_timeout: SessionTimeout = timedelta(seconds=45)
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Mechanism | None = None
    kafka_sasl_username: str | None = None
    kafka_sasl_password: SecretStr | None = None
    kafka_ssl_cafile: ReadableFile | None = None
    kafka_ssl_certfile: ReadableFile | None = None
    kafka_ssl_keyfile: ReadableFile | None = None
    kafka_ssl_password: SecretStr | None = None
    kafka_ssl_check_hostname: bool = True

    @model_validator(mode="after")
    def _security_is_complete(self) -> "KafkaSettings":
        # kafka-python is nearly silent about a wrong combination, so it is refused here.
        protocol = self.kafka_security_protocol
        _all_or_none(self, protocol.startswith("SASL"), _SASL, "SASL_PLAINTEXT or SASL_SSL")
        if not protocol.endswith("SSL"):
            _all_or_none(self, False, _TLS, "SSL or SASL_SSL")
        if self.kafka_ssl_keyfile and not self.kafka_ssl_certfile:
            raise ValueError("DELIVERY_KAFKA_SSL_KEYFILE needs DELIVERY_KAFKA_SSL_CERTFILE")
        return self


_SASL = ("kafka_sasl_mechanism", "kafka_sasl_username", "kafka_sasl_password")
_TLS = ("kafka_ssl_cafile", "kafka_ssl_certfile", "kafka_ssl_keyfile", "kafka_ssl_password")


def _all_or_none(settings: KafkaSettings, wanted: bool, names: tuple[str, ...], with_: str) -> None:
    wrong = [name for name in names if (getattr(settings, name) is not None) != wanted]
    if wrong:
        variables = ", ".join(f"{PREFIX}{name}".upper() for name in wrong)
        protocol = f"DELIVERY_KAFKA_SECURITY_PROTOCOL is {settings.kafka_security_protocol}"
        reason = "missing:" if wanted else f"of use with {with_} only:"
        raise ValueError(f"{variables} {'are' if wrong[1:] else 'is'} {reason} {protocol}")


class WorkerSettings(BaseSettings):
    """How records are read and processed."""

    model_config = _CONFIG

    event_timezone: Zone = UTC
    max_future_skew: Skew = timedelta(minutes=5)
    batch_size: Annotated[int, Field(ge=1, le=100_000)] = 2000
    max_rejected_in_a_row: Annotated[int, Field(ge=0)] = 1000  # 0: no limit
    log_level: Level = "INFO"


class MonitoringSettings(BaseSettings):
    """Where a worker tells its metrics and its health: nowhere, unless a port is set."""

    model_config = _CONFIG

    metrics_port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    metrics_host: Annotated[str, Field(min_length=1)] = "0.0.0.0"  # noqa: S104  # for probes


class WebSettings(BaseSettings):
    """Where `delivery serve` listens, what it reads and what it shows."""

    model_config = _CONFIG

    web_host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    web_port: Annotated[int, Field(ge=0, le=65535)] = 8080  # 0: one that is free
    web_database_url: PostgresqlUrl | None = None  # meant for a role that may only read
    database_url: PostgresqlUrl | None = None
    web_pool_size: Annotated[int, Field(ge=1, le=100)] = 4
    web_statement_timeout: WebTimeout = timedelta(seconds=5)
    web_show_personal_data: bool = False
    web_activity_horizon: Horizon = timedelta(days=7)  # so far back minutes are counted
    kafka_bootstrap_servers: BootstrapServers | None = None  # with it the lag is told
    log_level: Level = "INFO"

    @property
    def reader_url(self) -> SecretStr:
        """The database to read: DELIVERY_WEB_DATABASE_URL, or else DELIVERY_DATABASE_URL."""
        url = self.web_database_url or self.database_url
        if url is None:
            raise SettingsError(f"{_DATABASE_URL} is not set: {_HINTS[_DATABASE_URL]}")
        return url


Loaded = TypeVar("Loaded", bound=BaseSettings)


def load(settings: type[Loaded]) -> Loaded:
    """Reads `settings` from the environment. Raises SettingsError: one line, all that is wrong."""
    try:
        return settings()
    except ValidationError as error:
        raise SettingsError("; ".join(_messages(error))) from None


def check(*kinds: type[BaseSettings]) -> None:
    """Raises SettingsError with all that is wrong in any of `kinds`."""
    wrong: list[str] = []
    for kind in kinds:
        try:
            kind()
        except ValidationError as error:
            wrong += _messages(error)
    if wrong:
        raise SettingsError("; ".join(wrong))


def _messages(error: ValidationError) -> list[str]:
    return [_message(e) for e in error.errors(include_url=False, include_input=False)]


def _message(error: ErrorDetails) -> str:
    message = error["msg"].removeprefix("Value error, ")
    if not error["loc"]:  # a rule over several settings names them itself
        return message
    name = f"{PREFIX}{error['loc'][0]}".upper()
    if error["type"] == "missing":
        return f"{name} is not set: {_HINTS[name]}"
    return f"{name} {message[0].lower()}{message[1:]}"


_DATABASE_URL = "DELIVERY_DATABASE_URL"

_HINTS = {
    _DATABASE_URL: "the PostgreSQL to use, such as postgresql://user:password@host:5432/"
    "database (`delivery dev` starts one and prints its URL)",
    "DELIVERY_KAFKA_BOOTSTRAP_SERVERS": "the Kafka to use, such as host:9092 "
    "(`delivery dev` starts one and prints its address)",
}
