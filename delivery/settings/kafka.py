"""Where Kafka is, and how to talk to it."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings

from delivery.settings.values import (
    CONFIG,
    PREFIX,
    BootstrapServers,
    HttpUrl,
    Mechanism,
    ReadableFile,
    SessionTimeout,
    TopicName,
)

TOPIC = "OrderCreateEvent"  # unless another one is set

NotEmpty = Annotated[str, Field(min_length=1)]


class KafkaSettings(BaseSettings):
    """Where Kafka is, and how to talk to it."""

    model_config = CONFIG

    kafka_bootstrap_servers: BootstrapServers
    kafka_topic: TopicName = TOPIC
    kafka_group_id: NotEmpty = "group-delivery"
    kafka_session_timeout: SessionTimeout = timedelta(seconds=45)
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Mechanism | None = None
    kafka_sasl_username: str | None = None
    kafka_sasl_password: SecretStr | None = None
    kafka_sasl_oauth_token_url: HttpUrl | None = None
    kafka_sasl_oauth_client_id: NotEmpty | None = None
    kafka_sasl_oauth_client_secret: SecretStr | None = None
    kafka_sasl_oauth_scope: NotEmpty | None = None
    kafka_sasl_oauth_cafile: ReadableFile | None = None
    kafka_sasl_kerberos_service_name: NotEmpty | None = None
    kafka_sasl_kerberos_domain_name: NotEmpty | None = None
    kafka_ssl_cafile: ReadableFile | None = None
    kafka_ssl_certfile: ReadableFile | None = None
    kafka_ssl_keyfile: ReadableFile | None = None
    kafka_ssl_password: SecretStr | None = None
    kafka_ssl_check_hostname: bool = True

    @model_validator(mode="after")
    def _security_is_complete(self) -> "KafkaSettings":
        # kafka-python is nearly silent about a wrong combination, so it is refused here.
        protocol = f"DELIVERY_KAFKA_SECURITY_PROTOCOL is {self.kafka_security_protocol}"
        if not self.kafka_security_protocol.startswith("SASL"):
            self._refuse(_SASL, f"of use with SASL_PLAINTEXT or SASL_SSL only: {protocol}")
        elif self.kafka_sasl_mechanism is None:
            self._require(("kafka_sasl_mechanism", *_PASSWORD), protocol)
        else:
            self._login_is_complete(self.kafka_sasl_mechanism, protocol)
        if not self.kafka_security_protocol.endswith("SSL"):
            self._refuse(_TLS, f"of use with SSL or SASL_SSL only: {protocol}")
        if self.kafka_ssl_keyfile and not self.kafka_ssl_certfile:
            raise ValueError("DELIVERY_KAFKA_SSL_KEYFILE needs DELIVERY_KAFKA_SSL_CERTFILE")
        return self

    def _login_is_complete(self, mechanism: str, protocol: str) -> None:
        chosen = f"DELIVERY_KAFKA_SASL_MECHANISM is {mechanism}"
        required, optional = _LOGINS[mechanism]
        self._require(required, f"{protocol}, {chosen}")
        others = [name for name in _SASL[1:] if name not in {*required, *optional}]
        self._refuse(others, f"of no use: {chosen}")
        if mechanism == "AWS_MSK_IAM" and self.kafka_security_protocol != "SASL_SSL":
            raise ValueError(f"{chosen}: it needs TLS, and {protocol}, not SASL_SSL")

    def _require(self, names: tuple[str, ...], reason: str) -> None:
        self._complain([n for n in names if getattr(self, n) is None], f"missing: {reason}")

    def _refuse(self, names: list[str], reason: str) -> None:
        self._complain([n for n in names if getattr(self, n) is not None], reason)

    def _complain(self, wrong: list[str], reason: str) -> None:
        if wrong:
            variables = ", ".join(f"{PREFIX}{name}".upper() for name in wrong)
            raise ValueError(f"{variables} {'are' if wrong[1:] else 'is'} {reason}")


_SASL = [name for name in KafkaSettings.model_fields if name.startswith("kafka_sasl_")]
_TLS = ["kafka_ssl_cafile", "kafka_ssl_certfile", "kafka_ssl_keyfile", "kafka_ssl_password"]

_PASSWORD = ("kafka_sasl_username", "kafka_sasl_password")
_CLIENT = tuple(f"kafka_sasl_oauth_{name}" for name in ("token_url", "client_id", "client_secret"))

# What a mechanism can't do without, and what it may have besides.
_LOGINS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "PLAIN": (_PASSWORD, ()),
    "SCRAM-SHA-256": (_PASSWORD, ()),
    "SCRAM-SHA-512": (_PASSWORD, ()),
    "OAUTHBEARER": (_CLIENT, ("kafka_sasl_oauth_scope", "kafka_sasl_oauth_cafile")),
    "GSSAPI": ((), ("kafka_sasl_kerberos_service_name", "kafka_sasl_kerberos_domain_name")),
    "AWS_MSK_IAM": ((), ()),
}
