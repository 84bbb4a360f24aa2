"""Logins: kafka-python's options from our settings, and what a refused one means in their words."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from kafka.errors import (
    IllegalSaslStateError,
    KafkaConfigurationError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)
from kafka.net.sasl import register_sasl_mechanism
from kafka.net.sasl.gssapi import SaslMechanismGSSAPI
from kafka.net.sasl.msk import SaslMechanismAwsMskIam

from delivery.broker.oauth import ClientCredentials
from delivery.errors import SettingsError, UnavailableError
from delivery.settings import KafkaSettings

# The library of a mechanism, and our extra that installs it.
_LIBRARIES = {"GSSAPI": ("gssapi", "kerberos"), "AWS_MSK_IAM": ("botocore", "msk")}

# What libraries say where a server of theirs is away. All else is a setting or a credential.
_AWAY = re.compile(r"contact|connect|time[d ]?out|unreachable", re.IGNORECASE)


def options(settings: KafkaSettings) -> dict[str, Any]:
    """kafka-python's options. Raises SettingsError where the mechanism's library is missing."""
    mechanism = settings.kafka_sasl_mechanism
    if mechanism in _LIBRARIES:
        _require_library(mechanism)
    password = settings.kafka_sasl_password
    made: dict[str, Any] = {
        "sasl_mechanism": mechanism,
        "sasl_plain_username": settings.kafka_sasl_username,
        "sasl_plain_password": password.get_secret_value() if password else None,
    }
    if mechanism == "OAUTHBEARER":
        made["sasl_oauth_token_provider"] = ClientCredentials(settings)
    if mechanism == "GSSAPI":
        made["sasl_kerberos_service_name"] = settings.kafka_sasl_kerberos_service_name or "kafka"
        made["sasl_kerberos_domain_name"] = settings.kafka_sasl_kerberos_domain_name
    return made


def _require_library(mechanism: str) -> None:
    module, extra = _LIBRARIES[mechanism]
    if find_spec(module) is None:
        raise SettingsError(
            f"DELIVERY_KAFKA_SASL_MECHANISM {mechanism} needs the library {module}: "
            f"pip install 'delivery[{extra}]'"
        )


def refusal(error: BaseException, settings: KafkaSettings) -> str | None:
    """What is wrong with our login; None where it is not that."""
    mechanism, protocol = settings.kafka_sasl_mechanism or "", settings.kafka_security_protocol
    match error:
        case SaslAuthenticationFailedError():
            said = str(error.args[0] if error.args else "").rpartition("Error: ")[2]
            return f"refuses the login: check {_CREDENTIALS.get(mechanism, _PASSWORD)} ({said})"
        case UnsupportedSaslMechanismError():
            return f"has not enabled {mechanism}: check DELIVERY_KAFKA_SASL_MECHANISM"
        case IllegalSaslStateError():
            other = protocol.removeprefix("SASL_")
            return f"takes no login: DELIVERY_KAFKA_SECURITY_PROTOCOL is {protocol}, not {other}"
        case KafkaConfigurationError():
            return f"can't be asked with these settings: {error}"
    return None


_PASSWORD = "DELIVERY_KAFKA_SASL_USERNAME and DELIVERY_KAFKA_SASL_PASSWORD"  # noqa: S105
_CREDENTIALS = {
    "OAUTHBEARER": "whom DELIVERY_KAFKA_SASL_OAUTH_CLIENT_ID gets a token for",
    "GSSAPI": "the Kerberos ticket and DELIVERY_KAFKA_SASL_KERBEROS_SERVICE_NAME",
    "AWS_MSK_IAM": "AWS's credentials, their policy and the region",
}


@contextmanager
def _library_errors(library: str, mechanism: str) -> Iterator[None]:
    """Raises kafka-python's errors for those of another library, which would end its loops."""
    try:
        yield
    except KafkaError:
        raise
    except Exception as error:
        said = " ".join(str(error).split()) or type(error).__name__
        why = f"the login to Kafka fails: check {_CREDENTIALS[mechanism]} ({library}: {said})"
        if _AWAY.search(said):
            raise KafkaConnectionError(why) from UnavailableError(why)
        raise SaslAuthenticationFailedError(why) from SettingsError(why)


class Kerberos(SaslMechanismGSSAPI):  # type: ignore[misc]  # kafka-python is untyped
    """GSSAPI, whose errors don't end kafka-python's loops."""

    def __init__(self, **config: Any) -> None:
        with _library_errors("Kerberos", "GSSAPI"):
            super().__init__(**config)

    def receive(self, auth_bytes: bytes) -> None:
        with _library_errors("Kerberos", "GSSAPI"):
            super().receive(auth_bytes)


class MskIam(SaslMechanismAwsMskIam):  # type: ignore[misc]  # kafka-python is untyped
    """AWS_MSK_IAM, whose errors don't end kafka-python's loops."""

    def auth_bytes(self) -> bytes:
        with _library_errors("AWS", "AWS_MSK_IAM"):
            try:
                signed: bytes = super().auth_bytes()
            except AttributeError:  # kafka-python asks no further where there are none
                raise SettingsError("no credentials were found") from None
        return signed


register_sasl_mechanism("GSSAPI", Kerberos, overwrite=True)
register_sasl_mechanism("AWS_MSK_IAM", MskIam, overwrite=True)
