"""Settings come from the environment; an error is one line that names the variable."""

import re
import traceback
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from psycopg.conninfo import conninfo_to_dict
from pydantic_settings import BaseSettings

from delivery.errors import SettingsError
from delivery.settings import (
    DatabaseSettings,
    KafkaSettings,
    MonitoringSettings,
    WebSettings,
    WorkerSettings,
    load,
)

SECRET = "s3cr3t-of-the-test"
URL = "postgresql://worker:password@db:5432/orders"
THIS_FILE = __file__  # a file that can be read
NO_FILE = f"{__file__}.absent"

SETTINGS: list[type[BaseSettings]] = [
    DatabaseSettings,
    KafkaSettings,
    WorkerSettings,
    MonitoringSettings,
]
BELONGS_TO = {f"DELIVERY_{name}".upper(): cls for cls in SETTINGS for name in cls.model_fields}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment in which only what is required is set."""
    for name in BELONGS_TO:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DELIVERY_DATABASE_URL", URL)
    monkeypatch.setenv("DELIVERY_KAFKA_BOOTSTRAP_SERVERS", "kafka:9092")
    return monkeypatch


def setting(name: str) -> Any:
    """The value of the one setting, as the program gets it."""
    return getattr(load(BELONGS_TO[name]), name.removeprefix("DELIVERY_").lower())


def complaint(settings: type[BaseSettings]) -> str:
    with pytest.raises(SettingsError) as caught:
        load(settings)
    (line,) = str(caught.value).splitlines()
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    return line


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("DELIVERY_KAFKA_TOPIC", "OrderCreateEvent"),
        ("DELIVERY_KAFKA_GROUP_ID", "group-delivery"),
        ("DELIVERY_KAFKA_SESSION_TIMEOUT", timedelta(seconds=45)),
        ("DELIVERY_KAFKA_SECURITY_PROTOCOL", "PLAINTEXT"),
        ("DELIVERY_KAFKA_SASL_MECHANISM", None),
        ("DELIVERY_KAFKA_SASL_USERNAME", None),
        ("DELIVERY_KAFKA_SASL_PASSWORD", None),
        ("DELIVERY_KAFKA_SSL_CAFILE", None),
        ("DELIVERY_KAFKA_SSL_CERTFILE", None),
        ("DELIVERY_KAFKA_SSL_KEYFILE", None),
        ("DELIVERY_KAFKA_SSL_PASSWORD", None),
        ("DELIVERY_KAFKA_SSL_CHECK_HOSTNAME", True),
        ("DELIVERY_MAX_FUTURE_SKEW", timedelta(minutes=5)),
        ("DELIVERY_BATCH_SIZE", 2000),
        ("DELIVERY_LOG_LEVEL", "INFO"),
    ],
)
def test_a_setting_has_a_default_also_where_its_variable_is_empty(
    environment: pytest.MonkeyPatch, name: str, default: object
) -> None:
    assert setting(name) == default
    environment.setenv(name, "")
    assert setting(name) == default


def test_the_default_timezone_is_utc() -> None:
    assert setting("DELIVERY_EVENT_TIMEZONE").utcoffset(None) == UTC.utcoffset(None)


@pytest.mark.parametrize("name", ["DELIVERY_DATABASE_URL", "DELIVERY_KAFKA_BOOTSTRAP_SERVERS"])
def test_what_is_required_is_asked_for_also_where_its_variable_is_empty(
    environment: pytest.MonkeyPatch, name: str
) -> None:
    environment.setenv(name, "")
    empty = complaint(BELONGS_TO[name])
    environment.delenv(name)
    assert complaint(BELONGS_TO[name]) == empty
    assert empty.startswith(f"{name} is not set: ")
    assert "delivery dev" in empty


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_a_database_url_is_understood_as_libpq_and_as_sqlalchemy_write_it(
    environment: pytest.MonkeyPatch, scheme: str
) -> None:
    environment.setenv("DELIVERY_DATABASE_URL", f"{scheme}://u:p%40ss@h:5432/d?sslmode=require")
    url = setting("DELIVERY_DATABASE_URL").get_secret_value()
    assert url == "postgresql://u:p%40ss@h:5432/d?sslmode=require"


OF_DATABASES: dict[str, type[BaseSettings]] = {
    "DELIVERY_DATABASE_URL": DatabaseSettings,
    "DELIVERY_WEB_DATABASE_URL": WebSettings,
}
PASSWORDS = ["{}@b", "{}@", "@{}", "{}/b", "12/{}", "1?{}", "{}?b", "{}#b", "12#{}/b", "{}@b@c",
             "{}/b@c?d#e:f", "[{}", "{}]b", "{}%", "{}%zz", "a,{}/b"]  # fmt: skip


@pytest.mark.parametrize("name", OF_DATABASES)
@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("rest", ["host:5432/orders", "host", "a:1,b:2/orders?sslmode=require"])
def test_a_password_that_is_not_percent_encoded_is_refused_and_not_shown(
    environment: pytest.MonkeyPatch, name: str, password: str, rest: str
) -> None:
    environment.setenv(name, f"postgresql://worker:{password.format(SECRET)}@{rest}")
    line = complaint(OF_DATABASES[name])
    assert line.startswith(f"{name} is not a URL that PostgreSQL understands: ")
    assert "percent-encod" in line


@pytest.mark.parametrize("password", ["a:b", "a,b;c=d&e!f$g*h'i(j)k+l~m", "비밀"])
def test_what_means_itself_in_a_password_need_not_be_encoded(
    environment: pytest.MonkeyPatch, password: str
) -> None:
    environment.setenv("DELIVERY_DATABASE_URL", f"postgresql://u:{password}@h/d")
    url = setting("DELIVERY_DATABASE_URL").get_secret_value()
    assert conninfo_to_dict(url) == {
        "user": "u",
        "password": password,
        "host": "h",
        "dbname": "d",
    }


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "/orders",
        "h",
        "h:5432",
        "h:/orders",
        "[::1]:5432/orders",
        "u@[fe80::1%25eth0]/orders",
        "a:1,b:2,c/orders",
        "u:p@a:1,b:2/orders?target_session_attrs=read-write",
        "%2Fvar%2Frun%2Fpostgresql/orders",
        "/orders?host=/var/run/postgresql&user=me",
        "u@h/orders?application_name=a@b&options=-c%20work_mem%3D1MB",
    ],
)
def test_each_form_of_a_url_is_understood(environment: pytest.MonkeyPatch, rest: str) -> None:
    environment.setenv("DELIVERY_DATABASE_URL", f"postgresql://{rest}")
    assert setting("DELIVERY_DATABASE_URL").get_secret_value() == f"postgresql://{rest}"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("DELIVERY_KAFKA_BOOTSTRAP_SERVERS", "a:9092", "a:9092"),
        ("DELIVERY_KAFKA_BOOTSTRAP_SERVERS", " a:1 , b:65535 ", "a:1,b:65535"),
        ("DELIVERY_KAFKA_BOOTSTRAP_SERVERS", "[::1]:9092", "[::1]:9092"),
        ("DELIVERY_KAFKA_TOPIC", "orders.v2_DLQ-1", "orders.v2_DLQ-1"),
        ("DELIVERY_KAFKA_TOPIC", "t" * 249, "t" * 249),
        ("DELIVERY_KAFKA_SESSION_TIMEOUT", "6", timedelta(seconds=6)),
        ("DELIVERY_KAFKA_SESSION_TIMEOUT", "7.5", timedelta(seconds=7.5)),
        ("DELIVERY_KAFKA_SESSION_TIMEOUT", "PT45S", timedelta(seconds=45)),
        ("DELIVERY_MAX_FUTURE_SKEW", "0", timedelta(0)),
        ("DELIVERY_MAX_FUTURE_SKEW", "90", timedelta(seconds=90)),
        ("DELIVERY_MAX_FUTURE_SKEW", "PT1H30M", timedelta(hours=1.5)),
        ("DELIVERY_MAX_FUTURE_SKEW", "P1DT1S", timedelta(days=1, seconds=1)),
        ("DELIVERY_EVENT_TIMEZONE", "Asia/Seoul", ZoneInfo("Asia/Seoul")),
        ("DELIVERY_BATCH_SIZE", "1", 1),
        ("DELIVERY_BATCH_SIZE", "100000", 100_000),
        ("DELIVERY_LOG_LEVEL", "debug", "DEBUG"),
        ("DELIVERY_LOG_LEVEL", "WARNING", "WARNING"),
        ("DELIVERY_KAFKA_SECURITY_PROTOCOL", "SSL", "SSL"),
        ("DELIVERY_KAFKA_SSL_CHECK_HOSTNAME", "false", False),
    ],
)
def test_a_right_value_is_taken(
    environment: pytest.MonkeyPatch, name: str, text: str, value: object
) -> None:
    environment.setenv(name, text)
    assert setting(name) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("DELIVERY_DATABASE_URL", f"mysql://u:{SECRET}@h/d"),
        ("DELIVERY_DATABASE_URL", f"postgresql+psycopg2://u:{SECRET}@h/d"),
        ("DELIVERY_DATABASE_URL", f"host=h password={SECRET}"),
        ("DELIVERY_DATABASE_URL", f"postgresql://u:{SECRET}%zz@h/d"),
        ("DELIVERY_DATABASE_URL", f"postgresql://u:{SECRET}@h/d?colour=red"),
        ("DELIVERY_DATABASE_URL", f"postgresql://u:{SECRET}@[h/d"),
        ("DELIVERY_DATABASE_URL", f"postgresql://u:{SECRET}@h:65536/d"),
        ("DELIVERY_DATABASE_URL", f"postgresql://u:{SECRET}@h:port/d"),
        ("DELIVERY_KAFKA_BOOTSTRAP_SERVERS", "kafka"),
        ("DELIVERY_KAFKA_BOOTSTRAP_SERVERS", "kafka:"),
        ("DELIVERY_KAFKA_BOOTSTRAP_SERVERS", ":9092"),
        ("DELIVERY_KAFKA_BOOTSTRAP_SERVERS", "kafka:0"),
        ("DELIVERY_KAFKA_BOOTSTRAP_SERVERS", "kafka:65536"),
        ("DELIVERY_KAFKA_BOOTSTRAP_SERVERS", "kafka:9092,"),
        pytest.param(
            "DELIVERY_KAFKA_BOOTSTRAP_SERVERS",
            "kafka:9092;other:9092",
        ),
        pytest.param(
            "DELIVERY_KAFKA_BOOTSTRAP_SERVERS",
            "http://kafka:9092",
        ),
        pytest.param(
            "DELIVERY_KAFKA_SESSION_TIMEOUT",
            "3000000",
        ),
        ("DELIVERY_KAFKA_TOPIC", "two words"),
        ("DELIVERY_KAFKA_TOPIC", "orders\n"),
        ("DELIVERY_KAFKA_TOPIC", "t" * 250),
        ("DELIVERY_KAFKA_SESSION_TIMEOUT", "0"),
        ("DELIVERY_KAFKA_SESSION_TIMEOUT", "-6"),
        ("DELIVERY_KAFKA_SESSION_TIMEOUT", "45s"),
        ("DELIVERY_KAFKA_SESSION_TIMEOUT", "soon"),
        ("DELIVERY_KAFKA_SESSION_TIMEOUT", "nan"),
        ("DELIVERY_KAFKA_SESSION_TIMEOUT", "inf"),
        ("DELIVERY_KAFKA_SESSION_TIMEOUT", "1e30"),
        ("DELIVERY_MAX_FUTURE_SKEW", "-1"),
        ("DELIVERY_MAX_FUTURE_SKEW", "-PT1S"),
        ("DELIVERY_MAX_FUTURE_SKEW", "five minutes"),
        ("DELIVERY_EVENT_TIMEZONE", "Seoul"),
        ("DELIVERY_EVENT_TIMEZONE", "Asia"),
        ("DELIVERY_EVENT_TIMEZONE", "+09:00"),
        ("DELIVERY_EVENT_TIMEZONE", "../../etc/passwd"),
        ("DELIVERY_EVENT_TIMEZONE", "z" * 5000),
        ("DELIVERY_BATCH_SIZE", "0"),
        ("DELIVERY_BATCH_SIZE", "-1"),
        ("DELIVERY_BATCH_SIZE", "100001"),
        ("DELIVERY_BATCH_SIZE", "1.5"),
        ("DELIVERY_BATCH_SIZE", "many"),
        ("DELIVERY_LOG_LEVEL", "LOUD"),
        ("DELIVERY_KAFKA_SECURITY_PROTOCOL", "TLS"),
        ("DELIVERY_KAFKA_SASL_MECHANISM", "SCRAM-SHA-1"),
        ("DELIVERY_KAFKA_SASL_OAUTH_TOKEN_URL", "ldap://idp/token"),
        ("DELIVERY_KAFKA_SASL_OAUTH_TOKEN_URL", "https://user:password@idp/token"),
        ("DELIVERY_KAFKA_SSL_CAFILE", NO_FILE),
        ("DELIVERY_KAFKA_SSL_CERTFILE", str(Path(__file__).parent)),
        ("DELIVERY_KAFKA_SSL_KEYFILE", NO_FILE),
        ("DELIVERY_KAFKA_SSL_CHECK_HOSTNAME", "perhaps"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_variable(
    environment: pytest.MonkeyPatch, name: str, text: str
) -> None:
    environment.setenv(name, text)
    line = complaint(BELONGS_TO[name])
    assert line.startswith(f"{name} ")
    assert line.count("DELIVERY_") == 1
    assert not re.search("input|string|should|pattern|pars|valid ", line), "these are pydantic's"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("DELIVERY_BATCH_SIZE", "1.5", "must be a whole number"),
        ("DELIVERY_BATCH_SIZE", "9" * 5000, "must be a whole number"),
        ("DELIVERY_BATCH_SIZE", "0", "must be 1 or more"),
        ("DELIVERY_METRICS_PORT", "65536", "must be 65535 or less"),
        ("DELIVERY_KAFKA_SSL_CHECK_HOSTNAME", "perhaps", "must be true or false"),
        (
            "DELIVERY_KAFKA_SECURITY_PROTOCOL",
            "TLS",
            "must be one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL",
        ),
        (
            "DELIVERY_KAFKA_TOPIC",
            "two words",
            "must be a topic's name: up to 249 of a-z, A-Z, 0-9, . _ -",
        ),
    ],
)
def test_what_is_wrong_is_said_in_plain_words(
    environment: pytest.MonkeyPatch, name: str, text: str, said: str
) -> None:
    environment.setenv(name, text)
    assert complaint(BELONGS_TO[name]) == f"{name} {said}"


def test_several_wrong_values_are_one_line(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DELIVERY_EVENT_TIMEZONE", "Seoul")
    environment.setenv("DELIVERY_MAX_FUTURE_SKEW", "soon")
    environment.setenv("DELIVERY_BATCH_SIZE", "0")
    zone, skew, size = complaint(WorkerSettings).split("; ")
    assert zone.startswith("DELIVERY_EVENT_TIMEZONE ")
    assert skew.startswith("DELIVERY_MAX_FUTURE_SKEW ")
    assert size.startswith("DELIVERY_BATCH_SIZE ")


SASL = {
    "DELIVERY_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "DELIVERY_KAFKA_SASL_USERNAME": "worker",
    "DELIVERY_KAFKA_SASL_PASSWORD": SECRET,
}
TLS = {
    "DELIVERY_KAFKA_SSL_CAFILE": THIS_FILE,
    "DELIVERY_KAFKA_SSL_CERTFILE": THIS_FILE,
    "DELIVERY_KAFKA_SSL_KEYFILE": THIS_FILE,
    "DELIVERY_KAFKA_SSL_PASSWORD": SECRET,
}


def secure(environment: pytest.MonkeyPatch, protocol: str, variables: dict[str, str]) -> None:
    environment.setenv("DELIVERY_KAFKA_SECURITY_PROTOCOL", protocol)
    for name, value in variables.items():
        environment.setenv(name, value)


@pytest.mark.parametrize(
    ("protocol", "variables"),
    [
        pytest.param("PLAINTEXT", {}, id="nothing"),
        pytest.param("SSL", {}, id="TLS by the system's certificates"),
        pytest.param("SSL", TLS, id="TLS with a client's certificate"),
        pytest.param("SASL_PLAINTEXT", SASL, id="a password"),
        pytest.param("SASL_SSL", SASL, id="a password over TLS"),
        pytest.param("SASL_SSL", SASL | TLS, id="all of it"),
    ],
)
def test_kafka_can_be_secured(
    environment: pytest.MonkeyPatch, protocol: str, variables: dict[str, str]
) -> None:
    secure(environment, protocol, variables)
    settings = load(KafkaSettings)
    assert settings.kafka_security_protocol == protocol
    assert (settings.kafka_sasl_username == "worker") is (SASL.items() <= variables.items())
    assert (settings.kafka_ssl_keyfile is not None) is (TLS.items() <= variables.items())


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
@pytest.mark.parametrize("missing", SASL)
def test_a_password_is_asked_for_with_all_that_belongs_to_it(
    environment: pytest.MonkeyPatch, protocol: str, missing: str
) -> None:
    secure(environment, protocol, {**SASL, missing: ""})
    line = complaint(KafkaSettings)
    assert line.startswith(f"{missing} ")
    assert protocol in line


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL"])
@pytest.mark.parametrize("name", SASL)
def test_a_password_that_would_not_be_used_is_refused(
    environment: pytest.MonkeyPatch, protocol: str, name: str
) -> None:
    secure(environment, protocol, {name: SASL[name]})
    line = complaint(KafkaSettings)
    assert line.startswith(f"{name} ")
    assert f"DELIVERY_KAFKA_SECURITY_PROTOCOL is {protocol}" in line


def test_all_that_a_password_needs_is_asked_for_at_once(environment: pytest.MonkeyPatch) -> None:
    secure(environment, "SASL_SSL", {})
    line = complaint(KafkaSettings)
    assert all(name in line for name in SASL)


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_PLAINTEXT"])
@pytest.mark.parametrize("name", TLS)
def test_a_certificate_that_would_not_be_used_is_refused(
    environment: pytest.MonkeyPatch, protocol: str, name: str
) -> None:
    secure(environment, protocol, SASL if protocol.startswith("SASL") else {})
    environment.setenv(name, TLS[name])
    assert complaint(KafkaSettings).startswith(f"{name} ")


def test_a_key_needs_its_certificate(environment: pytest.MonkeyPatch) -> None:
    secure(environment, "SSL", {"DELIVERY_KAFKA_SSL_KEYFILE": THIS_FILE})
    assert "DELIVERY_KAFKA_SSL_CERTFILE" in complaint(KafkaSettings)


OAUTH = {
    "DELIVERY_KAFKA_SASL_MECHANISM": "OAUTHBEARER",
    "DELIVERY_KAFKA_SASL_OAUTH_TOKEN_URL": "https://idp.example/token",
    "DELIVERY_KAFKA_SASL_OAUTH_CLIENT_ID": "worker",
    "DELIVERY_KAFKA_SASL_OAUTH_CLIENT_SECRET": SECRET,
}
SCOPE = {"DELIVERY_KAFKA_SASL_OAUTH_SCOPE": "kafka"}
KERBEROS = {"DELIVERY_KAFKA_SASL_MECHANISM": "GSSAPI"}
SERVICE = {"DELIVERY_KAFKA_SASL_KERBEROS_SERVICE_NAME": "broker"}
MSK = {"DELIVERY_KAFKA_SASL_MECHANISM": "AWS_MSK_IAM"}


@pytest.mark.parametrize("variables", [OAUTH, OAUTH | SCOPE, KERBEROS, KERBEROS | SERVICE, MSK])
def test_a_login_may_be_a_token_kerberos_or_aws(
    environment: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    secure(environment, "SASL_SSL", variables)
    settings = load(KafkaSettings)
    assert settings.kafka_sasl_mechanism == variables["DELIVERY_KAFKA_SASL_MECHANISM"]


@pytest.mark.parametrize("missing", list(OAUTH)[1:])
def test_a_token_is_asked_for_with_all_that_belongs_to_it(
    environment: pytest.MonkeyPatch, missing: str
) -> None:
    secure(environment, "SASL_SSL", {**OAUTH, missing: ""})
    line = complaint(KafkaSettings)
    assert line.startswith(f"{missing} is missing: ")
    assert "DELIVERY_KAFKA_SASL_MECHANISM is OAUTHBEARER" in line


@pytest.mark.parametrize(
    ("variables", "refused"),
    [
        (SASL | SERVICE, "DELIVERY_KAFKA_SASL_KERBEROS_SERVICE_NAME"),
        (SASL | SCOPE, "DELIVERY_KAFKA_SASL_OAUTH_SCOPE"),
        (OAUTH | {"DELIVERY_KAFKA_SASL_PASSWORD": SECRET}, "DELIVERY_KAFKA_SASL_PASSWORD"),
        (KERBEROS | {"DELIVERY_KAFKA_SASL_USERNAME": "me"}, "DELIVERY_KAFKA_SASL_USERNAME"),
        (MSK | SCOPE, "DELIVERY_KAFKA_SASL_OAUTH_SCOPE"),
    ],
)
def test_what_belongs_to_another_mechanism_is_refused(
    environment: pytest.MonkeyPatch, variables: dict[str, str], refused: str
) -> None:
    secure(environment, "SASL_SSL", variables)
    mechanism = variables["DELIVERY_KAFKA_SASL_MECHANISM"]
    used = f"of no use: DELIVERY_KAFKA_SASL_MECHANISM is {mechanism}"
    assert complaint(KafkaSettings) == f"{refused} is {used}"


def test_aws_s_login_needs_tls(environment: pytest.MonkeyPatch) -> None:
    secure(environment, "SASL_PLAINTEXT", MSK)
    line = complaint(KafkaSettings)
    assert "AWS_MSK_IAM" in line
    assert "DELIVERY_KAFKA_SECURITY_PROTOCOL is SASL_PLAINTEXT, not SASL_SSL" in line


def test_secrets_never_show(environment: pytest.MonkeyPatch) -> None:
    secure(environment, "SASL_SSL", SASL | TLS)
    environment.setenv("DELIVERY_DATABASE_URL", f"postgresql://u:{SECRET}@h/d")
    for settings in (load(KafkaSettings), load(DatabaseSettings)):
        for text in (repr(settings), str(settings), settings.model_dump_json()):
            assert SECRET not in text


def test_a_secret_does_not_show_when_its_neighbour_is_wrong(
    environment: pytest.MonkeyPatch,
) -> None:
    secure(environment, "SASL_SSL", SASL | TLS)
    environment.setenv("DELIVERY_KAFKA_BOOTSTRAP_SERVERS", "kafka")
    assert complaint(KafkaSettings).startswith("DELIVERY_KAFKA_BOOTSTRAP_SERVERS ")


def test_settings_can_not_be_changed() -> None:
    settings = load(WorkerSettings)
    with pytest.raises(ValueError, match="frozen"):
        settings.batch_size = 1
