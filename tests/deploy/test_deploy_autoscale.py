"""The workers' autoscaling: what KEDA's schema allows, and what the other manifests are like."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import deployment
import jsonschema_rs
import pytest
import yaml
from deployment import FOLDER, manifest

KUBERNETES = FOLDER / "kubernetes"
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


def test_there_is_always_a_worker_and_the_number_is_keda_s(tmp_path: Path) -> None:
    assert 1 <= scaled()["minReplicaCount"] <= scaled()["maxReplicaCount"]
    built = build(tmp_path, "autoscale")
    (worker,) = (d for d in built if (d["kind"], d["metadata"]["name"]) == WORKER)
    assert "replicas" not in worker["spec"]
    namespaces = {d["metadata"]["namespace"] for d in built if d["kind"] in KINDS}
    assert namespaces == {"delivery"}


WORKER = ("Deployment", "delivery-worker")


def build(folder: Path, *components: str) -> list[dict[str, Any]]:
    """What `kubectl kustomize` makes of our kustomization with these components."""
    if shutil.which("kubectl") is None:
        pytest.skip("there is no kubectl on this machine")
    copy = shutil.copytree(KUBERNETES, folder / "kubernetes")
    kustomization = copy / "kustomization.yaml"
    ours = yaml.safe_load(kustomization.read_text())
    kustomization.write_text(yaml.safe_dump(ours | {"components": list(components)}))
    built = subprocess.run(
        ["kubectl", "kustomize", copy], capture_output=True, text=True, timeout=60, check=True
    )
    return [document for document in yaml.safe_load_all(built.stdout) if document]
