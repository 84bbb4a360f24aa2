"""The settings: read once from the environment, validated with messages that name the variable.

This is the only module that reads the environment. Secrets are `SecretStr`: they never reach a
log, an error or `repr`.
"""

from datetime import UTC, timedelta
from typing import Annotated, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from delivery.errors import SettingsError
from delivery.settings.values import (
    BootstrapServers,
    Horizon,
    Level,
    Mechanism,
    PostgresqlUrl,
    ReadableFile,
    SessionTimeout,
    Skew,
    TopicName,
    WebTimeout,
    Zone,
)

PREFIX = "DELIVERY_"

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


def load_if_set(settings: type[Loaded]) -> Loaded | None:
    """As `load`; None where something that `settings` can't do without is not set."""
    try:
        return settings()
    except ValidationError as error:
        if any(wrong["type"] == "missing" for wrong in error.errors()):
            return None
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
