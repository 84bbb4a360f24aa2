"""How to reach Kafka: kafka-python's options from our settings, and its errors in our words.

kafka-python is nearly silent about wrong addresses and credentials, so both are said here.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kafka.errors import (
    AuthorizationError,
    KafkaConfigurationError,
    KafkaError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)

from delivery.errors import SettingsError, UnavailableError
from delivery.settings import KafkaSettings

BOOTSTRAP_TIMEOUT = 10_000  # milliseconds


def connection(settings: KafkaSettings) -> dict[str, Any]:
    """The options that consumer and producer share. Raises SettingsError for unusable TLS files."""
    password = settings.kafka_sasl_password
    return {
        "bootstrap_servers": settings.kafka_bootstrap_servers.split(","),
        "bootstrap_timeout_ms": BOOTSTRAP_TIMEOUT,
        "client_id": "delivery",
        "security_protocol": settings.kafka_security_protocol,
        "sasl_mechanism": settings.kafka_sasl_mechanism,
        "sasl_plain_username": settings.kafka_sasl_username,
        "sasl_plain_password": password.get_secret_value() if password else None,
        "ssl_context": _ssl_context(settings),
    }


@contextmanager
def errors_translated(settings: KafkaSettings) -> Iterator[None]:
    """Raises SettingsError or UnavailableError for kafka-python's errors, each in one line."""
    try:
        yield
    except (SaslAuthenticationFailedError, UnsupportedSaslMechanismError) as error:
        raise SettingsError(
            f"Kafka at {settings.kafka_bootstrap_servers} refuses DELIVERY_KAFKA_SASL_MECHANISM, "
            f"DELIVERY_KAFKA_SASL_USERNAME and DELIVERY_KAFKA_SASL_PASSWORD: {error}"
        ) from error
    except (AuthorizationError, KafkaConfigurationError) as error:
        raise SettingsError(f"Kafka refuses: {error}") from error
    except KafkaError as error:
        raise UnavailableError(
            f"Kafka can't be reached at {settings.kafka_bootstrap_servers} over "
            f"{settings.kafka_security_protocol}: check DELIVERY_KAFKA_BOOTSTRAP_SERVERS and "
            f"DELIVERY_KAFKA_SECURITY_PROTOCOL ({type(error).__name__})"
        ) from error


def _ssl_context(settings: KafkaSettings) -> ssl.SSLContext | None:
    if not settings.kafka_security_protocol.endswith("SSL"):
        return None
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ssl_cafile)
    except ssl.SSLError:
        raise SettingsError("DELIVERY_KAFKA_SSL_CAFILE holds no certificate in PEM form") from None
    context.check_hostname = settings.kafka_ssl_check_hostname
    if settings.kafka_ssl_certfile:
        _load_client_certificate(context, settings)
    return context


def _load_client_certificate(context: ssl.SSLContext, settings: KafkaSettings) -> None:
    password = settings.kafka_ssl_password
    try:
        context.load_cert_chain(
            settings.kafka_ssl_certfile or "",
            settings.kafka_ssl_keyfile,
            password.get_secret_value() if password else "",  # never ask at a terminal
        )
    except ssl.SSLError:
        raise SettingsError(
            "DELIVERY_KAFKA_SSL_CERTFILE, DELIVERY_KAFKA_SSL_KEYFILE and "
            "DELIVERY_KAFKA_SSL_PASSWORD do not fit together"
        ) from None
