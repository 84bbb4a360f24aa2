"""Each mistake in the settings of a secured Kafka has a line of its own, at once."""

import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import pytest
from certificates import KEY_PASSWORD, Authority, Identity
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.net.sasl import register_sasl_mechanism
from kafka.net.sasl.scram import SaslMechanismScram
from processes import wait_until
from relay import relay, silent_server
from secured_kafka import PASSWORD, SecuredKafka

from delivery.broker import connections, options
from delivery.broker.connections import ClientFactory
from delivery.errors import SettingsError, UnavailableError
from delivery.settings import KafkaSettings

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

SECONDS = 2.0  # so soon a mistake is told
PROTOCOL = "DELIVERY_KAFKA_SECURITY_PROTOCOL is"
NAME_AND_PASSWORD = "check DELIVERY_KAFKA_SASL_USERNAME and DELIVERY_KAFKA_SASL_PASSWORD"


class Way:
    """To the secured broker, over one of its listeners."""

    def __init__(self, kafka: SecuredKafka, folder: Path) -> None:
        self.kafka = kafka
        self.stranger = Authority(folder, "stranger")
        self.trusted = {"kafka_ssl_cafile": kafka.authority.file}

    def settings(self, listener: str, protocol: str, **others: Any) -> KafkaSettings:
        server = f"localhost:{self.kafka.ports[listener]}"
        others = {"kafka_bootstrap_servers": server} | others
        return KafkaSettings(kafka_security_protocol=protocol, **others)


@pytest.fixture
def way(secured_kafka: SecuredKafka, tmp_path: Path) -> Way:
    return Way(secured_kafka, tmp_path)


def login(
    mechanism: str = "SCRAM-SHA-256", user: str = "worker", password: str = PASSWORD
) -> dict[str, str]:
    return {
        "kafka_sasl_mechanism": mechanism,
        "kafka_sasl_username": user,
        "kafka_sasl_password": password,
    }


def shown(identity: Identity) -> dict[str, Path]:
    return {"kafka_ssl_certfile": identity.certificate, "kafka_ssl_keyfile": identity.key}


WORKS: dict[str, Callable[[Way], KafkaSettings]] = {
    "SCRAM-SHA-256": lambda w: w.settings("LOGIN", "SASL_PLAINTEXT", **login()),
    "PLAIN": lambda w: w.settings("LOGIN", "SASL_PLAINTEXT", **login("PLAIN")),
    "SCRAM-SHA-512 over TLS": lambda w: w.settings(
        "LOGIN_TLS", "SASL_SSL", **login("SCRAM-SHA-512"), **w.trusted
    ),
    "TLS": lambda w: w.settings("TLS", "SSL", **w.trusted),
    "another host's certificate, not looked at": lambda w: w.settings(
        "OTHER_NAME", "SSL", **w.trusted, kafka_ssl_check_hostname=False
    ),
    "mutual TLS": lambda w: w.settings("MUTUAL_TLS", "SSL", **w.trusted, **shown(w.kafka.client)),
    "mutual TLS, encrypted key": lambda w: w.settings(
        *("MUTUAL_TLS", "SSL"),
        **w.trusted,
        kafka_ssl_certfile=w.kafka.client.certificate,
        kafka_ssl_keyfile=w.kafka.client.encrypted_key,
        kafka_ssl_password=KEY_PASSWORD,
    ),
    "the second of two servers": lambda w: w.settings(
        *("LOGIN", "SASL_PLAINTEXT"),
        **login(),
        kafka_bootstrap_servers=f"localhost:1,localhost:{w.kafka.ports['LOGIN']}",
    ),
}

MISTAKES: dict[str, tuple[Callable[[Way], KafkaSettings], str]] = {
    "wrong password": (
        lambda w: w.settings("LOGIN", "SASL_PLAINTEXT", **login(password="wrong")),
        f"refuses the login: {NAME_AND_PASSWORD} (Authentication failed",
    ),
    "wrong password, PLAIN": (
        lambda w: w.settings("LOGIN", "SASL_PLAINTEXT", **login("PLAIN", password="wrong")),
        f"refuses the login: {NAME_AND_PASSWORD} (Authentication failed",
    ),
    "unknown user": (
        lambda w: w.settings("LOGIN", "SASL_PLAINTEXT", **login(user="unknown")),
        f"refuses the login: {NAME_AND_PASSWORD} (Authentication failed",
    ),
    "wrong password, and another server is away": (
        lambda w: w.settings(
            *("LOGIN", "SASL_PLAINTEXT"),
            **login(password="wrong"),
            kafka_bootstrap_servers=f"localhost:1,localhost:{w.kafka.ports['LOGIN']}",
        ),
        f"refuses the login: {NAME_AND_PASSWORD}",
    ),
    "mechanism not enabled": (
        lambda w: w.settings("LOGIN", "SASL_PLAINTEXT", **login("SCRAM-SHA-512")),
        "has not enabled SCRAM-SHA-512: check DELIVERY_KAFKA_SASL_MECHANISM",
    ),
    "another CA": (
        lambda w: w.settings("TLS", "SSL", kafka_ssl_cafile=w.stranger.file),
        "not trusted (unable to get local issuer certificate): DELIVERY_KAFKA_SSL_CAFILE is not",
    ),
    "no CA": (
        lambda w: w.settings("TLS", "SSL"),
        "not trusted (unable to get local issuer certificate): set DELIVERY_KAFKA_SSL_CAFILE",
    ),
    "the broker's certificate expired": (
        lambda w: w.settings("EXPIRED", "SSL", **w.trusted),
        "is out of date (certificate has expired)",
    ),
    "another host's certificate": (
        lambda w: w.settings("OTHER_NAME", "SSL", **w.trusted),
        "for another host (Hostname mismatch, certificate is not valid for 'localhost')",
    ),
    "a certificate without the address": (
        lambda w: w.settings(
            *("OTHER_NAME", "SSL"),
            **w.trusted,
            kafka_bootstrap_servers=f"127.0.0.1:{w.kafka.ports['OTHER_NAME']}",
        ),
        "for another host (IP address mismatch, certificate is not valid for '127.0.0.1')",
    ),
    "nothing, to TLS": (
        lambda w: w.settings("TLS", "PLAINTEXT"),
        f"speaks TLS: {PROTOCOL} PLAINTEXT, not SSL or SASL_SSL",
    ),
    "nothing, to a login": (
        lambda w: w.settings("LOGIN", "PLAINTEXT"),
        f"wants a login: {PROTOCOL} PLAINTEXT, not SASL_PLAINTEXT",
    ),
    "nothing, to a login over TLS": (
        lambda w: w.settings("LOGIN_TLS", "PLAINTEXT"),
        f"speaks TLS: {PROTOCOL} PLAINTEXT, not SSL or SASL_SSL",
    ),
    "TLS, to nothing": (
        lambda w: w.settings("PLAINTEXT", "SSL", **w.trusted),
        f"speaks no TLS: {PROTOCOL} SSL, not PLAINTEXT or SASL_PLAINTEXT",
    ),
    "TLS, to a login": (
        lambda w: w.settings("LOGIN", "SSL", **w.trusted),
        f"speaks no TLS: {PROTOCOL} SSL, not PLAINTEXT or SASL_PLAINTEXT",
    ),
    "TLS, to a login over TLS": (
        lambda w: w.settings("LOGIN_TLS", "SSL", **w.trusted),
        f"wants a login: {PROTOCOL} SSL, not SASL_SSL",
    ),
    "a login, to nothing": (
        lambda w: w.settings("PLAINTEXT", "SASL_PLAINTEXT", **login()),
        f"takes no login: {PROTOCOL} SASL_PLAINTEXT, not PLAINTEXT",
    ),
    "a login, to TLS": (
        lambda w: w.settings("TLS", "SASL_PLAINTEXT", **login()),
        f"speaks TLS: {PROTOCOL} SASL_PLAINTEXT, not SASL_SSL",
    ),
    "a login, to a login over TLS": (
        lambda w: w.settings("LOGIN_TLS", "SASL_PLAINTEXT", **login()),
        f"speaks TLS: {PROTOCOL} SASL_PLAINTEXT, not SASL_SSL",
    ),
    "a login over TLS, to nothing": (
        lambda w: w.settings("PLAINTEXT", "SASL_SSL", **login(), **w.trusted),
        f"speaks no TLS: {PROTOCOL} SASL_SSL, not SASL_PLAINTEXT",
    ),
    "a login over TLS, to a login": (
        lambda w: w.settings("LOGIN", "SASL_SSL", **login(), **w.trusted),
        f"speaks no TLS: {PROTOCOL} SASL_SSL, not SASL_PLAINTEXT",
    ),
    "a login over TLS, to TLS": (
        lambda w: w.settings("TLS", "SASL_SSL", **login(), **w.trusted),
        f"takes no login: {PROTOCOL} SASL_SSL, not SSL",
    ),
    "no certificate of ours": (
        lambda w: w.settings("MUTUAL_TLS", "SSL", **w.trusted),
        "wants a certificate of ours: set DELIVERY_KAFKA_SSL_CERTFILE",
    ),
    "our certificate is another CA's": (
        lambda w: w.settings("MUTUAL_TLS", "SSL", **w.trusted, **shown(w.stranger.issue("worker"))),
        "does not take the certificate in DELIVERY_KAFKA_SSL_CERTFILE: is its CA one",
    ),
    "our certificate expired": (
        lambda w: w.settings(
            *("MUTUAL_TLS", "SSL"),
            **w.trusted,
            **shown(w.kafka.authority.issue("late", expired=True)),
        ),
        "does not take the certificate in DELIVERY_KAFKA_SSL_CERTFILE: it expired on ",
    ),
    "a controller": (
        lambda w: w.settings("CONTROLLER", "PLAINTEXT"),
        "is too old, or a controller: DELIVERY_KAFKA_BOOTSTRAP_SERVERS names brokers",
    ),
}

UNREACHABLE = {
    "a closed port": (
        "127.0.0.1:1",
        "Kafka can't be reached at 127.0.0.1:1 over PLAINTEXT: nobody listens there: "
        "check DELIVERY_KAFKA_BOOTSTRAP_SERVERS",
    ),
    "an unknown host": (
        "kafka.invalid:9092",
        "Kafka can't be reached at kafka.invalid:9092 over PLAINTEXT: no such host is known: "
        "check DELIVERY_KAFKA_BOOTSTRAP_SERVERS",
    ),
    "both": ("kafka.invalid:9092,127.0.0.1:1", "no such host is known"),
}


@pytest.mark.parametrize("settings", WORKS.values(), ids=WORKS.keys())
def test_a_secured_broker_lets_in_who_has_the_right_settings(
    way: Way, settings: Callable[[Way], KafkaSettings]
) -> None:
    with closing(options.connect(KafkaConsumer, settings(way))) as consumer:
        assert isinstance(consumer.topics(), set)


@pytest.mark.parametrize(("settings", "line"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_in_the_settings_is_reported_at_once_in_a_line_of_its_own(
    way: Way, settings: Callable[[Way], KafkaSettings], line: str
) -> None:
    wrong, begun = settings(way), time.monotonic()
    with pytest.raises(SettingsError) as raised:
        options.connect(KafkaConsumer, wrong)
    assert time.monotonic() - begun < SECONDS
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)
    assert PASSWORD not in str(raised.value)


@pytest.mark.parametrize(("servers", "line"), UNREACHABLE.values(), ids=UNREACHABLE.keys())
def test_a_server_that_is_not_there_is_reported_at_once(servers: str, line: str) -> None:
    begun = time.monotonic()
    with pytest.raises(UnavailableError) as raised:
        options.connect(KafkaConsumer, KafkaSettings(kafka_bootstrap_servers=servers))
    assert time.monotonic() - begun < SECONDS
    assert line in str(raised.value)


def test_a_server_that_says_nothing_is_given_time_to_answer() -> None:
    with silent_server() as port, pytest.raises(UnavailableError, match="it does not answer"):
        options.connect(KafkaConsumer, KafkaSettings(kafka_bootstrap_servers=f"127.0.0.1:{port}"))


@pytest.mark.parametrize("kind", [KafkaConsumer, KafkaProducer, KafkaAdminClient])
def test_a_refused_login_is_tried_once_and_leaves_nothing_running(way: Way, kind: type) -> None:
    running = threading.active_count()
    with relay(way.kafka.ports["LOGIN"]) as between:
        settings = way.settings(
            *("LOGIN", "SASL_PLAINTEXT"),
            **login(password="wrong"),
            kafka_bootstrap_servers=f"127.0.0.1:{between.port}",
        )
        with pytest.raises(SettingsError, match="refuses the login"):
            options.connect(kind, settings)
        assert between.connections == 1
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("kafka-io")], running


class NotedLogin(SaslMechanismScram):  # type: ignore[misc]  # kafka-python is untyped
    """A login whose time is noted."""

    at: ClassVar[list[float]] = []

    def __init__(self, **config: Any) -> None:
        self.at.append(time.monotonic())
        super().__init__(**config)


def test_a_login_that_is_refused_later_on_is_not_tried_without_a_pause(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kafka-python alone tries it again at once."""
    monkeypatch.setattr(connections, "FIRST_PAUSE_S", 2.0)
    factory = ClientFactory(way.settings("LOGIN", "SASL_PLAINTEXT", **login()))
    settings = way.settings("LOGIN", "SASL_PLAINTEXT", **login())
    register_sasl_mechanism("SCRAM-SHA-256", NotedLogin, overwrite=True)
    try:
        with closing(options.connect(KafkaConsumer, settings, factory)):
            way.kafka.set_password("worker", "another")
            wait_until(lambda: factory.connections.refusal is not None, "it is refused")
            NotedLogin.at.clear()
            wait_until(lambda: len(NotedLogin.at) >= 2, "it is tried again, twice")
            begun, again = NotedLogin.at[:2]
            assert again - begun >= connections.FIRST_PAUSE_S
            way.kafka.set_password("worker", PASSWORD)
            wait_until(lambda: factory.connections.refusal is None, "it is let in again")
    finally:
        way.kafka.set_password("worker", PASSWORD)
        register_sasl_mechanism("SCRAM-SHA-256", SaslMechanismScram, overwrite=True)
