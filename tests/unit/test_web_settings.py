"""The settings of `delivery serve`."""

from datetime import timedelta

import pytest

from delivery import settings
from delivery.errors import SettingsError
from delivery.settings import KafkaSettings, WebSettings
from delivery.web.app import late_commit_window

WORKER = "postgresql://worker@db/delivery"
READER = "postgresql://reader@db/delivery"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "DATABASE_URL",
        "WEB_DATABASE_URL",
        "KAFKA_BOOTSTRAP_SERVERS",
        "KAFKA_SESSION_TIMEOUT",
    ):
        monkeypatch.delenv(f"DELIVERY_{name}", raising=False)


def test_nobody_else_reaches_it_and_personal_data_is_masked_unless_told() -> None:
    web = settings.load(WebSettings)
    assert (web.web_host, web.web_port) == ("127.0.0.1", 8080)
    assert web.web_show_personal_data is False


def test_it_reads_the_workers_database_unless_it_has_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DELIVERY_DATABASE_URL", WORKER)
    assert settings.load(WebSettings).reader_url.get_secret_value() == WORKER
    monkeypatch.setenv("DELIVERY_WEB_DATABASE_URL", READER)
    assert settings.load(WebSettings).reader_url.get_secret_value() == READER


def test_without_a_database_the_line_says_what_to_set() -> None:
    with pytest.raises(SettingsError, match="DELIVERY_DATABASE_URL is not set: the PostgreSQL"):
        _ = settings.load(WebSettings).reader_url


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "65536"),
        ("POOL_SIZE", "0"),
        ("STATEMENT_TIMEOUT", "0"),
        ("STATEMENT_TIMEOUT", "soon"),
        ("SHOW_PERSONAL_DATA", "perhaps"),
        ("ACTIVITY_HORIZON", "PT1M"),
        ("DATABASE_URL", "mysql://db"),
        ("LOGIN", "yes"),
        ("PATH_PREFIX", "delivery"),
        ("PATH_PREFIX", "/delivery/"),
        ("PATH_PREFIX", "//example.com"),
        ("PATH_PREFIX", "/a/../b"),
        ("PATH_PREFIX", "/a b"),
        ("TRUSTED_PROXIES", "proxy.example.com"),
        ("TRUSTED_PROXIES", "10.1.0.1/16"),
        ("USER_HEADER", "X Forwarded User"),
        ("READERS", "kim,,lee"),
        ("READERS", "group:"),
    ],
)
def test_what_is_wrong_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"DELIVERY_WEB_{name}", value)
    with pytest.raises(SettingsError, match=f"DELIVERY_WEB_{name} "):
        settings.load(WebSettings)


def test_durations_are_seconds_or_iso(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DELIVERY_WEB_STATEMENT_TIMEOUT", "2.5")
    monkeypatch.setenv("DELIVERY_WEB_ACTIVITY_HORIZON", "P2D")
    web = settings.load(WebSettings)
    assert web.web_statement_timeout == timedelta(seconds=2.5)
    assert web.web_activity_horizon == timedelta(days=2)


@pytest.mark.parametrize(("timeout", "seconds"), [(None, 1800), ("PT10M", 600), ("45", 45)])
def test_late_commits_are_waited_for_as_long_as_a_workers_transaction_may_last(
    monkeypatch: pytest.MonkeyPatch, timeout: str | None, seconds: int
) -> None:
    """Where it is not set here, the workers may have set the most that is allowed."""
    monkeypatch.setenv("DELIVERY_KAFKA_BOOTSTRAP_SERVERS", "kafka:9092")
    if timeout is not None:
        monkeypatch.setenv("DELIVERY_KAFKA_SESSION_TIMEOUT", timeout)
    assert late_commit_window(settings.load(KafkaSettings)) == timedelta(seconds=seconds)
    assert late_commit_window(None) == timedelta(minutes=30)


def test_a_provider_s_settings_are_missed_only_where_people_log_in_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DELIVERY_WEB_OIDC_ISSUER", raising=False)
    assert not [line for line in settings.wrong(*settings.kinds_in_use()) if "OIDC" in line]
    monkeypatch.setenv("DELIVERY_WEB_LOGIN", "oidc")
    missed = [line for line in settings.wrong(*settings.kinds_in_use()) if "OIDC" in line]
    assert len(missed) == 3
    assert missed[0].startswith("DELIVERY_WEB_OIDC_ISSUER is not set: the provider")
