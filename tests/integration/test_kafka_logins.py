"""Logins without a password of Kafka's: tokens on a real broker, Kerberos and AWS to their door."""

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from kafka import KafkaConsumer
from secured_kafka import SecuredKafka
from token_server import CLIENT_ID, CLIENT_SECRET, TokenServer, token_server

from delivery.broker import oauth, options, sasl
from delivery.errors import SettingsError, UnavailableError
from delivery.settings import KafkaSettings

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture
def tokens() -> Iterator[TokenServer]:
    with token_server() as running:
        yield running


def over_tls(kafka: SecuredKafka, mechanism: str, **others: Any) -> KafkaSettings:
    return KafkaSettings(
        kafka_bootstrap_servers=kafka.address("LOGIN_TLS"),
        kafka_security_protocol="SASL_SSL",
        kafka_ssl_cafile=kafka.authority.file,
        kafka_sasl_mechanism=mechanism,
        **others,
    )


def client(url: str, secret: str = CLIENT_SECRET, **others: Any) -> dict[str, Any]:
    return {
        "kafka_sasl_oauth_token_url": url,
        "kafka_sasl_oauth_client_id": CLIENT_ID,
        "kafka_sasl_oauth_client_secret": secret,
        **others,
    }


def connected(settings: KafkaSettings) -> set[str]:
    with closing(options.connect(KafkaConsumer, settings)) as consumer:
        topics: set[str] = consumer.topics()
    return topics


# OAUTHBEARER


def test_a_client_s_token_logs_in_as_its_subject(
    secured_kafka: SecuredKafka, tokens: TokenServer
) -> None:
    secured_kafka.make_topic("for-tokens")
    secured_kafka.allow(CLIENT_ID, "DESCRIBE", "TOPIC", "for-tokens")
    scope = {"kafka_sasl_oauth_scope": "kafka orders"}
    settings = over_tls(secured_kafka, "OAUTHBEARER", **client(tokens.url), **scope)
    assert "for-tokens" in connected(settings)
    assert set(tokens.scopes) == {"kafka orders"}


def test_one_token_serves_all_connections_until_it_is_nearly_over(tokens: TokenServer) -> None:
    provider = oauth.ClientCredentials(
        KafkaSettings(
            kafka_bootstrap_servers="localhost:9092",
            kafka_security_protocol="SASL_SSL",
            kafka_sasl_mechanism="OAUTHBEARER",
            **client(tokens.url),
        )
    )
    tokens.lifetime_s = 0.5
    first = provider.token()
    assert provider.token() == first
    deadline = time.monotonic() + 5
    while provider.token() == first:
        assert time.monotonic() < deadline
    assert len(tokens.scopes) == 2


def test_a_token_that_the_broker_refuses_is_reported(
    secured_kafka: SecuredKafka, tokens: TokenServer
) -> None:
    tokens.lifetime_s = -60.0
    settings = over_tls(secured_kafka, "OAUTHBEARER", **client(tokens.url))
    with pytest.raises(SettingsError, match="refuses the login: check whom DELIVERY_KAFKA_SASL_OA"):
        connected(settings)


def test_a_client_that_gets_no_token_is_reported(
    secured_kafka: SecuredKafka, tokens: TokenServer
) -> None:
    settings = over_tls(secured_kafka, "OAUTHBEARER", **client(tokens.url, "wrong-secret"))
    with pytest.raises(SettingsError) as raised:
        connected(settings)
    assert str(raised.value) == (
        "DELIVERY_KAFKA_SASL_OAUTH_TOKEN_URL refuses DELIVERY_KAFKA_SASL_OAUTH_CLIENT_ID and "
        "_CLIENT_SECRET: 401 invalid_client"
    )


def test_a_token_server_that_is_away_is_no_setting_s_fault(
    secured_kafka: SecuredKafka, tokens: TokenServer
) -> None:
    tokens.status = 503
    settings = over_tls(secured_kafka, "OAUTHBEARER", **client(tokens.url))
    with pytest.raises(UnavailableError, match="DELIVERY_KAFKA_SASL_OAUTH_TOKEN_URL answers 503"):
        connected(settings)
    nobody = over_tls(secured_kafka, "OAUTHBEARER", **client("http://127.0.0.1:1/token"))
    with pytest.raises(UnavailableError, match=r"_TOKEN_URL can't be reached: .*refused"):
        connected(nobody)


def test_a_token_server_that_is_no_such_thing_is_reported(
    secured_kafka: SecuredKafka, tokens: TokenServer
) -> None:
    tokens.status = 404
    settings = over_tls(secured_kafka, "OAUTHBEARER", **client(tokens.url))
    with pytest.raises(SettingsError, match=r"_OAUTH_TOKEN_URL refuses .* 404"):
        connected(settings)


# GSSAPI and AWS_MSK_IAM


@pytest.mark.parametrize(
    ("mechanism", "library", "extra"),
    [("GSSAPI", "gssapi", "kerberos"), ("AWS_MSK_IAM", "botocore", "msk")],
)
def test_a_library_that_is_not_installed_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, mechanism: str, library: str, extra: str
) -> None:
    monkeypatch.setattr(sasl, "find_spec", lambda _: None)
    settings = KafkaSettings(
        kafka_bootstrap_servers="localhost:9092",
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism=mechanism,
    )
    with pytest.raises(SettingsError) as raised:
        options.connection(settings)
    assert str(raised.value) == (
        f"DELIVERY_KAFKA_SASL_MECHANISM {mechanism} needs the library {library}: "
        f"pip install 'delivery[{extra}]'"
    )


def test_aws_without_credentials_is_reported(
    secured_kafka: SecuredKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("botocore")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    mechanism = sasl.MskIam(security_protocol="SASL_SSL", host="localhost")
    with pytest.raises(Exception, match="no credentials were found") as raised:
        mechanism.auth_bytes()
    assert isinstance(raised.value.__cause__, SettingsError)


def test_aws_s_signed_message_is_made_from_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("botocore")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-key")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    message = sasl.MskIam(security_protocol="SASL_SSL", host="b-1.example").auth_bytes()
    assert b'"host":"b-1.example"' in message
    assert b"AKIDEXAMPLE/" in message
    assert b"secret-key" not in message


def test_a_broker_without_the_mechanism_is_named(secured_kafka: SecuredKafka) -> None:
    pytest.importorskip("botocore")
    with pytest.raises(SettingsError, match="has not enabled AWS_MSK_IAM"):
        connected(over_tls(secured_kafka, "AWS_MSK_IAM"))


def test_kerberos_without_a_ticket_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gssapi")
    monkeypatch.setenv("KRB5_CONFIG", "/dev/null")
    with pytest.raises(
        Exception, match="the login to Kafka fails: check the Kerberos ticket"
    ) as raised:
        sasl.Kerberos(host="localhost", sasl_kerberos_service_name="kafka")
    assert isinstance(raised.value.__cause__, SettingsError)
