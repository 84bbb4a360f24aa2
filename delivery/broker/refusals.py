"""Why Kafka could not be reached or refuses us, in one line that names the setting or the right.

What is surely a setting's fault is a SettingsError: the next start would end in the same way. Where
the fault may be the network's or the broker's it is an UnavailableError: a later try may succeed.
"""

from typing import NamedTuple

from kafka.errors import (
    AuthorizationError,
    GroupAuthorizationFailedError,
    IncompatibleBrokerVersion,
    InvalidReceiveError,
    KafkaConnectionError,
    KafkaTimeoutError,
    RequestTimedOutError,
    UnknownTopicOrPartitionError,
)

from delivery.broker import probes, sasl, tls
from delivery.errors import ForbiddenError, SettingsError, UnavailableError
from delivery.settings import KafkaSettings

Explained = SettingsError | UnavailableError | ForbiddenError

TLS_ALERT = b"\x15\x03"  # how TLS begins to say that it got something else
NO_TLS = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"}

_PROTOCOL = "DELIVERY_KAFKA_SECURITY_PROTOCOL"


class Failure(NamedTuple):
    """A connection that failed, or a request that got this error.

    `is_put_out` says that the broker told its versions before it closed the connection.
    """

    server: str  # host:port
    error: BaseException
    is_put_out: bool = False


class Rights(NamedTuple):
    """What a command does with the topic and with the group, in the words of Kafka's ACLs."""

    topic: str = "READ"
    group: str = "READ"


CONSUMER = Rights()


def explained(failure: Failure, settings: KafkaSettings, rights: Rights = CONSUMER) -> Explained:
    """The error to raise. It holds no secret."""
    error = failure.error
    if isinstance(error.__cause__, Explained):  # whoever raised it knew why
        return error.__cause__
    if isinstance(error, AuthorizationError) or _NO_PRODUCER_ID in str(error):
        return _forbidden(error, settings, rights)
    if isinstance(error, UnknownTopicOrPartitionError):
        topic = settings.kafka_topic
        return UnavailableError(f"Kafka has no topic {topic}: check DELIVERY_KAFKA_TOPIC")
    reason = (
        sasl.refusal(error, settings)
        or tls.refusal(error, settings)
        or _mixed_up(failure, settings)
    )
    if reason:
        return SettingsError(f"Kafka at {failure.server} {reason}")
    return UnavailableError(
        f"Kafka can't be reached at {failure.server} over {settings.kafka_security_protocol}: "
        f"{_unreachable(error)}"
    )


def probed(failure: Failure, settings: KafkaSettings) -> Explained:
    """As `explained`. Where the connection was closed without a word, the server is asked once
    more: with TLS where we came without, and without where we came with it.
    """
    known = explained(failure, settings)
    if isinstance(known, UnavailableError) and _was_closed(failure.error):
        if not _is_tls(settings) and probes.speaks_tls(failure.server):
            return SettingsError(f"Kafka at {failure.server} {_speaks_tls(settings)}")
        if _is_tls(settings) and probes.speaks_plaintext(failure.server):
            return SettingsError(f"Kafka at {failure.server} {_speaks_no_tls(settings)}")
    return known


# An idempotent producer gets its id if it may write to any topic. Where it may not, kafka-python
# raises a bare KafkaError with this in its text.
_NO_PRODUCER_ID = "ClusterAuthorizationFailedError"


def _forbidden(error: BaseException, settings: KafkaSettings, rights: Rights) -> ForbiddenError:
    if isinstance(error, GroupAuthorizationFailedError):
        right = f"{rights.group} on group {settings.kafka_group_id}"
    else:
        right = f"{rights.topic} on topic {settings.kafka_topic}"
    user = settings.kafka_sasl_username
    return ForbiddenError(f"Kafka's user{f' {user}' if user else ''} needs {right}")


def _mixed_up(failure: Failure, settings: KafkaSettings) -> str | None:
    """Where a listener speaks another protocol than ours."""
    error, protocol = failure.error, settings.kafka_security_protocol
    match error:
        case InvalidReceiveError():  # a length of a message that is none
            begin = int(str(error).rpartition(" ")[2]).to_bytes(4, signed=True)
            return _speaks_tls(settings) if begin.startswith(TLS_ALERT) else "is no Kafka broker"
        case IncompatibleBrokerVersion():
            return "is too old, or a controller: DELIVERY_KAFKA_BOOTSTRAP_SERVERS names brokers"
        case KafkaConnectionError() if failure.is_put_out and "SASL" not in protocol:
            with_login = "SASL_SSL" if _is_tls(settings) else "SASL_PLAINTEXT"
            return f"wants a login: {_PROTOCOL} is {protocol}, not {with_login}"
    cause = tls.error_of_ssl(error)
    return _speaks_no_tls(settings) if cause and cause.reason in NO_TLS else None


def _speaks_tls(settings: KafkaSettings) -> str:
    protocol = settings.kafka_security_protocol
    other = "SASL_SSL" if protocol.startswith("SASL") else "SSL or SASL_SSL"
    return f"speaks TLS: {_PROTOCOL} is {protocol}, not {other}"


def _speaks_no_tls(settings: KafkaSettings) -> str:
    protocol = settings.kafka_security_protocol
    other = "SASL_PLAINTEXT" if protocol.startswith("SASL") else "PLAINTEXT or SASL_PLAINTEXT"
    return f"speaks no TLS: {_PROTOCOL} is {protocol}, not {other}"


def _is_tls(settings: KafkaSettings) -> bool:
    return settings.kafka_security_protocol.endswith("SSL")


def _was_closed(error: BaseException) -> bool:
    said = str(error)
    return any(sign in said for sign in ("socket disconnected", "EOF occurred", "reset by peer"))


def _unreachable(error: BaseException) -> str:
    said = str(error)
    if "DNS Resolution" in said:
        return "no such host is known"
    if "ECONNREFUSED" in said:
        return "nobody listens there"
    if isinstance(error, KafkaTimeoutError | RequestTimedOutError) or "timed out" in said:
        return "it does not answer"
    if _was_closed(error):
        return "it closes the connection without an answer"
    return " ".join(said.split()) or type(error).__name__
