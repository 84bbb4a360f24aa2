"""compose.yaml, manifests and units are what their own readers accept."""

import json
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import deployment
import jsonschema_rs
import pytest
import yaml
from deployment import TEXTS, UNITS


@pytest.mark.parametrize("name", [name for name in TEXTS if Path(name).suffix in {".yaml", ".yml"}])
def test_a_yaml_file_parses_and_names_nothing_twice(name: str) -> None:
    class Strict(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            keys = [key.value for key, _ in node.value if key.value != "<<"]
            assert len(keys) == len(set(keys)), keys
            return super().construct_mapping(node, deep)

    assert list(yaml.load_all(TEXTS[name], Strict))


def test_compose_yaml_is_what_the_compose_specification_allows() -> None:
    pytest.importorskip("check_jsonschema", reason="holds the Compose specification's schema")
    schemas = files("check_jsonschema.builtin_schemas.vendor")
    schema = json.loads(schemas.joinpath("compose-spec.json").read_text())
    jsonschema_rs.validate(schema, deployment.compose())


@pytest.mark.parametrize(
    "manifest", deployment.manifests(), ids=lambda m: f"{m['kind']} {m['metadata']['name']}"
)
def test_a_manifest_is_what_kubernetes_schema_allows(manifest: dict[str, Any]) -> None:
    kubernetes = pytest.importorskip("kubernetes_validate", reason="holds Kubernetes' schemas")
    if manifest["apiVersion"].partition("/")[0] in {"monitoring.coreos.com", "keda.sh"}:
        pytest.skip("an operator's kinds are not among Kubernetes' own")
    kubernetes.validate(manifest, kubernetes.latest_version(), strict=True)


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_understands_the_unit(unit: str, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze on this machine")
    text = TEXTS[f"deploy/systemd/{unit}"].replace("/opt/delivery/bin/delivery", "/bin/true")
    instance = tmp_path / unit.replace("@", "@9464")
    instance.write_text(text)
    told = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", instance],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (told.returncode, told.stderr) == (0, "")
