"""A variable that looks like a setting and is none is named, with the nearest one."""

import pytest
from pydantic_settings import BaseSettings

from delivery import settings
from delivery.settings import unknown
from delivery.settings.values import CONFIG

KNOWN = {"DELIVERY_KAFKA_TOPIC", "DELIVERY_KAFKA_GROUP_ID", "DELIVERY_METRICS_PORT"}


def complaints(**environment: str) -> list[str]:
    return unknown.complaints(environment, KNOWN, None)


@pytest.mark.parametrize("name", ["DELIVERY_KAFKA_TOPC", "DELIVERY_TOPIC", "delivery_kafka_topik"])
def test_a_mistyped_name_is_told_with_the_nearest_one(name: str) -> None:
    (told,) = complaints(**{name: "orders"})
    assert told == f"{name} is no setting, and is not used: did you mean DELIVERY_KAFKA_TOPIC?"


def test_a_name_that_is_near_none_is_told_without_a_guess() -> None:
    assert complaints(DELIVERY_COLOUR="red") == ["DELIVERY_COLOUR is no setting, and is not used"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DELIVERY_KAFKA_TOPIC", "orders"),
        ("delivery_kafka_topic", "orders"),  # pydantic-settings takes it
        ("PATH", "/bin"),
        ("DELIVERY_TEST_CITUS_URL", "postgresql://h/d"),
        # What Kubernetes sets for the Services `delivery` and `delivery-web`.
        ("DELIVERY_SERVICE_HOST", "10.0.0.1"),
        ("DELIVERY_SERVICE_PORT", "80"),
        ("DELIVERY_SERVICE_PORT_HTTP", "80"),
        ("DELIVERY_PORT", "tcp://10.0.0.1:80"),
        ("DELIVERY_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("DELIVERY_WEB_PORT_80_TCP_ADDR", "10.0.0.1"),
    ],
)
def test_what_is_a_setting_or_another_one_s_is_not_told(name: str, value: str) -> None:
    assert complaints(**{name: value}) == []


def test_a_port_with_a_mistyped_name_is_told_although_kubernetes_has_such_names() -> None:
    assert "DELIVERY_METRICS_PORT?" in complaints(DELIVERY_METRIC_PORT="9000")[0]


def test_every_setting_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = [k for k in BaseSettings.__subclasses__() if k.model_config.get("env_prefix")]
    assert all(kind.model_config["env_prefix"] == CONFIG["env_prefix"] for kind in kinds)
    ours = [kind for kind in kinds if kind.__module__.startswith("delivery.")]
    assert len(ours) >= 6
    for name in {name for kind in ours for name in kind.model_fields}:
        monkeypatch.setenv(f"DELIVERY_{name}".upper(), "1")
    monkeypatch.setenv("DELIVERY_TRACEBACK", "1")
    assert settings.unknown_ones() == []
