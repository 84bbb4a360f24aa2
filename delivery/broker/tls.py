"""TLS: its context from our settings, and what a failed handshake means in their words."""

import re
import ssl
import time
from pathlib import Path

from delivery.errors import SettingsError
from delivery.settings import KafkaSettings

# OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH.
WRONG_HOST = {62, 64}

# Alerts of a broker that does not take our certificate. Java says "certificate unknown" for most.
_NOT_TAKEN = re.compile("ALERT.*(CERTIFICATE|UNKNOWN_CA|HANDSHAKE_FAILURE|ACCESS_DENIED)")

_CERTFILE = "DELIVERY_KAFKA_SSL_CERTFILE"


def context(settings: KafkaSettings) -> ssl.SSLContext | None:
    """None where no TLS is wanted. Raises SettingsError for files that can't be used."""
    if not settings.kafka_security_protocol.endswith("SSL"):
        return None
    try:
        made = ssl.create_default_context(cafile=settings.kafka_ssl_cafile)
    except ssl.SSLError:
        raise SettingsError("DELIVERY_KAFKA_SSL_CAFILE holds no certificate in PEM form") from None
    made.check_hostname = settings.kafka_ssl_check_hostname
    if settings.kafka_ssl_certfile:
        _load_client_certificate(made, settings)
    return made


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


def refusal(error: BaseException, settings: KafkaSettings) -> str | None:
    """What is wrong with the broker's certificate or with ours; None where it is neither."""
    cause = error_of_ssl(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _about_the_brokers(cause, settings)
    alert = (cause.reason if cause else None) or ""
    if not _NOT_TAKEN.search(alert):
        return None
    if settings.kafka_ssl_certfile is None or "REQUIRED" in alert:
        return f"wants a certificate of ours: set {_CERTFILE} and DELIVERY_KAFKA_SSL_KEYFILE"
    end = _expiry(settings.kafka_ssl_certfile)
    why = f"it expired on {end}" if end else "is its CA one that the broker trusts?"
    return f"does not take the certificate in {_CERTFILE}: {why}"


def error_of_ssl(error: BaseException) -> ssl.SSLError | None:
    """kafka-python's error has it as its argument, or was raised while it was handled."""
    for found in (error, *error.args, error.__context__):
        if isinstance(found, ssl.SSLError):
            return found
    return None


def _about_the_brokers(error: ssl.SSLCertVerificationError, settings: KafkaSettings) -> str:
    said = error.verify_message.rstrip(".")
    if error.verify_code in WRONG_HOST:
        return (
            f"has a certificate for another host ({said}): DELIVERY_KAFKA_BOOTSTRAP_SERVERS and "
            "the broker's advertised.listeners have to use a name that is in it"
        )
    if "expired" in said or "not yet valid" in said:
        return f"has a certificate that is out of date ({said}): the broker needs a new one"
    if settings.kafka_ssl_cafile is None:
        advice = "set DELIVERY_KAFKA_SSL_CAFILE to the CA that signed it"
    else:
        advice = "DELIVERY_KAFKA_SSL_CAFILE is not the CA that signed it"
    return f"has a certificate that is not trusted ({said}): {advice}"


def _expiry(certificate: Path) -> str | None:
    """When our certificate expired; None where it did not, or where nobody can tell.

    Python's ssl has no public way to read a certificate; without this one the line says less.
    """
    decode = getattr(getattr(ssl, "_ssl", None), "_test_decode_cert", None)
    try:
        end = str(decode(certificate)["notAfter"]) if decode else ""
    except (OSError, KeyError):
        return None
    return end if end and ssl.cert_time_to_seconds(end) < time.time() else None
