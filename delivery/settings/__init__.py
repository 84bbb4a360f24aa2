"""The settings: read once from the environment, validated with messages that name the variable.

Only this package reads the environment. A setting may be a file instead, of the variable's name, in
the folder DELIVERY_SECRETS_DIR: what Kubernetes, Compose and systemd make of a secret. Secrets are
`SecretStr`: they never reach a log, an error or `repr`.
"""

import os
from datetime import UTC, timedelta
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings

from delivery.errors import SettingsError
from delivery.settings import unknown
from delivery.settings.kafka import KafkaSettings
from delivery.settings.oidc import OidcSettings
from delivery.settings.values import (
    CONFIG,
    PREFIX,
    HeaderName,
    Horizon,
    HostNames,
    KafkaUiUrl,
    Level,
    Names,
    Networks,
    OneLine,
    PathPrefix,
    PostgresqlUrl,
    ReadableFile,
    Skew,
    TopicName,
    WebTimeout,
    Zone,
)
from delivery.settings.wording import DATABASE_URL, HINTS, messages

__all__ = [
    "KINDS",
    "PREFIX",
    "AnnounceSettings",
    "DatabaseSettings",
    "DisplaySettings",
    "KafkaSettings",
    "MonitoringSettings",
    "OidcSettings",
    "TracingSettings",
    "WebSettings",
    "WorkerSettings",
    "check",
    "kinds_in_use",
    "load",
    "load_if_set",
    "readable",
    "unknown_ones",
    "wrong",
]

_SECRETS_DIR = "DELIVERY_SECRETS_DIR"
_TRACEBACK = "DELIVERY_TRACEBACK"  # of the command line, for a bug


class DatabaseSettings(BaseSettings):
    """Where PostgreSQL is: every command but `publish` and `schema` needs it."""

    model_config = CONFIG

    database_url: PostgresqlUrl


class WorkerSettings(BaseSettings):
    """How records are read and processed."""

    model_config = CONFIG

    event_timezone: Zone = UTC
    max_future_skew: Skew = timedelta(minutes=5)
    batch_size: Annotated[int, Field(ge=1, le=100_000)] = 2000
    max_rejected_in_a_row: Annotated[int, Field(ge=0)] = 1000  # 0: no limit
    log_level: Level = "INFO"


class AnnounceSettings(BaseSettings):
    """Whether created deliveries are announced, where, and in which words."""

    model_config = CONFIG

    announce_topic: TopicName | None = None  # not set: nothing is announced
    announce_transactional_id: Annotated[str, Field(min_length=1)] = "delivery-announce"
    announce_time_format: Literal["array", "iso"] = "array"
    announce_event_type: OneLine = "com.sparta.logistics.delivery.domain.event.DeliveryCreateEvent"
    announce_type_id: OneLine = "com.sparta.logistics.delivery.domain.event.DomainEventEnvelop"
    announce_status: OneLine = "pending"


class MonitoringSettings(BaseSettings):
    """Where a worker tells its metrics and its health: nowhere, unless a port is set."""

    model_config = CONFIG

    metrics_port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    metrics_host: Annotated[str, Field(min_length=1)] = "127.0.0.1"  # they have no login


class TracingSettings(BaseSettings):
    """Whether a worker makes spans; where they go, OpenTelemetry's own variables say."""

    model_config = CONFIG

    tracing: bool = False


class DisplaySettings(BaseSettings):
    """How times are shown to people, and read where they name no zone."""

    model_config = CONFIG

    display_timezone: Zone = UTC


class WebSettings(BaseSettings):
    """Where `delivery serve` listens, what it reads and what it shows."""

    model_config = CONFIG

    web_host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    web_port: Annotated[int, Field(ge=0, le=65535)] = 8080  # 0: one that is free
    web_path_prefix: PathPrefix = ""  # below which a proxy shows the pages
    web_allowed_hosts: HostNames = ()  # beside addresses, localhost and `web_host`
    web_database_url: PostgresqlUrl | None = None  # meant for a role that may only read
    database_url: PostgresqlUrl | None = None
    web_pool_size: Annotated[int, Field(ge=1, le=100)] = 4
    web_statement_timeout: WebTimeout = timedelta(seconds=5)
    web_show_personal_data: bool = False
    display_timezone: Zone = UTC  # for a visitor who has chosen none
    web_kafka_ui_url: KafkaUiUrl | None = None  # where a record's coordinates lead
    web_activity_horizon: Horizon = timedelta(days=7)  # so far back minutes are counted
    web_login: Literal["none", "basic", "proxy", "oidc"] = "none"
    web_users_file: ReadableFile | None = None  # NAME:HASH, as `htpasswd -B` writes it
    web_trusted_proxies: Networks = ()
    web_user_header: HeaderName = "X-Forwarded-User"
    web_groups_header: HeaderName = "X-Forwarded-Groups"
    web_readers: Names = ()  # not set: whoever is logged in
    web_personal_data_readers: Names = ()
    web_operators: Names = ()
    web_operator_database_url: PostgresqlUrl | None = None  # not set: the pages change nothing
    web_session_key_file: ReadableFile | None = None  # not set: a new key at each start
    log_level: Level = "INFO"

    @model_validator(mode="after")
    def _require_a_whole_login(self) -> "WebSettings":
        missing = {
            "basic": ("DELIVERY_WEB_USERS_FILE", self.web_users_file),
            "proxy": ("DELIVERY_WEB_TRUSTED_PROXIES", self.web_trusted_proxies),
        }
        if self.web_login in missing and not missing[self.web_login][1]:
            raise ValueError(
                f"DELIVERY_WEB_LOGIN is {self.web_login}, which needs {missing[self.web_login][0]}"
            )
        if self.web_operator_database_url is not None and self.web_login == "none":
            raise ValueError(
                "DELIVERY_WEB_OPERATOR_DATABASE_URL needs a DELIVERY_WEB_LOGIN: who changes "
                "something has to be known"
            )
        return self

    @property
    def reader_url(self) -> SecretStr:
        """The database to read: DELIVERY_WEB_DATABASE_URL, or else DELIVERY_DATABASE_URL."""
        url = self.web_database_url or self.database_url
        if url is None:
            raise SettingsError(f"{DATABASE_URL} is not set: {HINTS[DATABASE_URL]}")
        return url


KINDS: tuple[type[BaseSettings], ...] = (
    DatabaseSettings,
    KafkaSettings,
    WorkerSettings,
    AnnounceSettings,
    MonitoringSettings,
    TracingSettings,
    DisplaySettings,
    WebSettings,
    OidcSettings,
)

Loaded = TypeVar("Loaded", bound=BaseSettings)


def load(settings: type[Loaded]) -> Loaded:
    """Reads `settings` from the environment. Raises SettingsError: one line, all that is wrong."""
    try:
        return _read(settings)
    except ValidationError as error:
        raise SettingsError("; ".join(messages(error))) from None


def load_if_set(settings: type[Loaded]) -> Loaded | None:
    """As `load`; None where something that `settings` can't do without is not set."""
    try:
        return _read(settings)
    except ValidationError as error:
        if any(wrong["type"] == "missing" for wrong in error.errors()):
            return None
        raise SettingsError("; ".join(messages(error))) from None


def readable(settings: type[Loaded]) -> Loaded | None:
    """As `load`; None where something is wrong, which `wrong` tells."""
    try:
        return load(settings)
    except SettingsError:
        return None


def kinds_in_use() -> list[type[BaseSettings]]:
    """All kinds but those that only another setting makes necessary."""
    web = readable(WebSettings)
    has_provider = web is not None and web.web_login == "oidc"
    return [kind for kind in KINDS if kind is not OidcSettings or has_provider]


def check(*kinds: type[BaseSettings]) -> None:
    """Raises SettingsError with all that is wrong in any of `kinds`."""
    if found := wrong(*kinds):
        raise SettingsError("; ".join(found))


def wrong(*kinds: type[BaseSettings]) -> list[str]:
    """All that is wrong in any of `kinds`, each once."""
    found: dict[str, None] = {}
    for kind in kinds:
        try:
            _read(kind)
        except ValidationError as error:
            found |= dict.fromkeys(messages(error))
    return list(found)


def unknown_ones() -> list[str]:
    """A sentence for each variable that looks like a setting and is none, with the nearest one."""
    names = {f"{PREFIX}{name}".upper() for kind in KINDS for name in kind.model_fields}
    folder = os.environ.get(_SECRETS_DIR)
    return unknown.complaints(
        os.environ, names | {_SECRETS_DIR, _TRACEBACK}, Path(folder) if folder else None
    )


def _read(settings: type[Loaded]) -> Loaded:
    """From the environment, and what is not there from files."""
    folder = os.environ.get(_SECRETS_DIR) or None
    if folder is not None and not Path(folder).is_dir():
        raise SettingsError(f"{_SECRETS_DIR} is no folder: {folder}")
    return settings(_secrets_dir=folder)
