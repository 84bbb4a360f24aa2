"""The workers' autoscaling: what KEDA's schema allows, and what the other manifests are like."""

import json
from pathlib import Path
from typing import Any

import deployment
import jsonschema_rs
import pytest
from deployment import manifest

KINDS = ("ScaledObject", "TriggerAuthentication")
SASL = {"SCRAM-SHA-512": "scram_sha512"}  # our word, and KEDA's


@pytest.mark.parametrize("kind", KINDS)
def test_a_manifest_of_keda_is_what_its_schema_allows(kind: str) -> None:
    schemas = json.loads((Path(__file__).parent / "keda.schemas.json").read_text())
    (given,) = (m for m in deployment.manifests() if m["kind"] == kind)
    jsonschema_rs.validate(schemas[kind], given)


def scaled() -> dict[str, Any]:
    spec: dict[str, Any] = manifest("ScaledObject", "delivery-worker")["spec"]
    return spec


def trigger() -> dict[str, Any]:
    (found,) = scaled()["triggers"]
    return dict(found)


def test_the_lag_is_that_of_the_workers_group_and_topic() -> None:
    settings = manifest("ConfigMap", "delivery")["data"]
    read = trigger()["metadata"]
    assert {
        "DELIVERY_KAFKA_BOOTSTRAP_SERVERS": read["bootstrapServers"],
        "DELIVERY_KAFKA_GROUP_ID": read["consumerGroup"],
        "DELIVERY_KAFKA_TOPIC": read["topic"],
    }.items() <= settings.items()
    assert manifest("Deployment", scaled()["scaleTargetRef"]["name"])


def test_the_login_is_the_one_that_the_workers_have() -> None:
    login = manifest("TriggerAuthentication", trigger()["authenticationRef"]["name"])
    for reference in login["spec"]["secretTargetRef"]:
        assert reference["key"] in manifest("Secret", reference["name"])["stringData"]
    secret = manifest("Secret", "delivery-kafka")["stringData"]
    assert trigger()["metadata"]["sasl"] == SASL[secret["DELIVERY_KAFKA_SASL_MECHANISM"]]
    has_tls = secret["DELIVERY_KAFKA_SECURITY_PROTOCOL"].endswith("_SSL")
    assert trigger()["metadata"]["tls"] == ("enable" if has_tls else "disable")


def test_there_is_always_a_worker() -> None:
    assert 1 <= scaled()["minReplicaCount"] <= scaled()["maxReplicaCount"]
