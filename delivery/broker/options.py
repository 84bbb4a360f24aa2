"""How to reach Kafka: kafka-python's options from our settings, and its errors in our words."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from kafka.errors import KafkaError

from delivery.broker import sasl, tls
from delivery.broker.connections import ClientFactory
from delivery.broker.refusals import CONSUMER, Failure, Rights, explained
from delivery.settings import KafkaSettings

# For servers that are silent. Where one answers, a mistake is known within a second.
BOOTSTRAP_TIMEOUT_MS = 10_000

Client = TypeVar("Client")


def connect(
    kind: Callable[..., Client],
    settings: KafkaSettings,
    factory: ClientFactory | None = None,
    **options: Any,
) -> Client:
    """A consumer, producer or admin of kafka-python's, connected to a broker.

    Raises SettingsError or UnavailableError with the reason, as soon as it is known; nothing is
    left running then. `factory` tells later on whether a broker refuses us.
    """
    factory = factory or ClientFactory(settings)
    try:
        with errors_translated(settings):
            return kind(**connection(settings) | {"kafka_client": factory} | options)
    except BaseException:
        factory.close()
        raise


def connection(settings: KafkaSettings) -> dict[str, Any]:
    """The options that all clients share. Raises SettingsError for unusable TLS files."""
    return {
        "bootstrap_servers": settings.kafka_bootstrap_servers.split(","),
        "bootstrap_timeout_ms": BOOTSTRAP_TIMEOUT_MS,
        "client_id": "delivery",
        "kafka_client": ClientFactory(settings),
        "security_protocol": settings.kafka_security_protocol,
        "ssl_context": tls.context(settings),
        **sasl.options(settings),
    }


@contextmanager
def errors_translated(settings: KafkaSettings, rights: Rights = CONSUMER) -> Iterator[None]:
    """Raises SettingsError, ForbiddenError or UnavailableError for kafka-python's errors.

    `rights` are those that the block needs.
    """
    try:
        yield
    except KafkaError as error:
        failure = Failure(settings.kafka_bootstrap_servers, error)
        raise explained(failure, settings, rights) from error
