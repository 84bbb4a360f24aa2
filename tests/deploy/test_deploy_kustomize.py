"""The kustomize base with its components, and the overlay that people copy."""

import itertools
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from deployment import KUBERNETES, documents, manifest, only_container

COMPONENTS = sorted(folder.name for folder in (KUBERNETES / "components").iterdir())
OVERLAY = KUBERNETES / "overlay.example"
CHOICES = [
    chosen
    for number in range(len(COMPONENTS) + 1)
    for chosen in itertools.combinations(COMPONENTS, number)
]

Manifests = dict[tuple[str, str], dict[str, Any]]


def kustomization(folder: Path) -> dict[str, Any]:
    (found,) = documents(str(folder.relative_to(KUBERNETES.parent) / "kustomization.yaml"))
    return dict(found)


@pytest.mark.parametrize("folder", ["base", *(f"components/{name}" for name in COMPONENTS)])
def test_a_kustomization_has_all_that_lies_beside_it(folder: str) -> None:
    beside = {path.name for path in (KUBERNETES / folder).iterdir()}
    assert {*kustomization(KUBERNETES / folder)["resources"], "kustomization.yaml"} == beside


@pytest.mark.parametrize("component", COMPONENTS)
def test_what_a_component_patches_is_there(component: str) -> None:
    for patch in kustomization(KUBERNETES / "components" / component).get("patches", []):
        assert manifest(patch["target"]["kind"], patch["target"]["name"])
        for operation in yaml.safe_load(patch["patch"]):
            assert _holder(patch["target"], operation["path"]) is not None


def test_the_overlay_changes_settings_that_exist_and_names_every_component() -> None:
    (settings,) = documents("kubernetes/overlay.example/settings.yaml")
    base = manifest(settings["kind"], settings["metadata"]["name"])
    assert settings["data"].keys() <= base["data"].keys()
    text = (OVERLAY / "kustomization.yaml").read_text()
    assert re.findall(r"^  # - ../components/(\w+)$", text, re.MULTILINE) == COMPONENTS


@pytest.mark.parametrize("chosen", CHOICES, ids=lambda chosen: ",".join(chosen) or "none")
def test_the_overlay_builds_with_any_components(chosen: tuple[str, ...], tmp_path: Path) -> None:
    built = build(tmp_path, chosen)
    namespaces = {each["metadata"].get("namespace", "delivery") for each in built.values()}
    assert namespaces == {"delivery"}
    assert "CHANGE-ME" not in str(built)
    for (kind, name), each in built.items():
        if kind in {"Deployment", "Job"}:
            image = only_container(each["spec"]["template"]["spec"])["image"]
            assert image.startswith("registry.example/delivery:"), name
    assert (("Deployment", "delivery-announce") in built) == ("announce" in chosen)
    worker = built["Deployment", "delivery-worker"]["spec"]
    assert ("replicas" in worker) == ("autoscale" not in chosen), "the number is KEDA's"


def test_who_announces_has_the_topic_everywhere_and_its_role_is_given_rights(
    tmp_path: Path,
) -> None:
    built = build(tmp_path, ("announce",))
    assert built["ConfigMap", "delivery"]["data"]["DELIVERY_ANNOUNCE_TOPIC"] == "announcements"
    migrate = built["Job", "delivery-migrate"]["spec"]["template"]["spec"]
    assert only_container(migrate)["args"][-2:] == ["--announcer-role", "delivery_announcer"]


def build(folder: Path, components: tuple[str, ...]) -> Manifests:
    """What `kubectl kustomize` makes of the overlay with these components."""
    if shutil.which("kubectl") is None:
        pytest.skip("there is no kubectl on this machine")
    copy = shutil.copytree(KUBERNETES, folder / "kubernetes") / OVERLAY.name
    ours = kustomization(OVERLAY) | {"components": [f"../components/{name}" for name in components]}
    (copy / "kustomization.yaml").write_text(yaml.safe_dump(ours))
    built = subprocess.run(
        ["kubectl", "kustomize", copy], capture_output=True, text=True, timeout=60, check=True
    )
    found = [document for document in yaml.safe_load_all(built.stdout) if document]
    return {(each["kind"], each["metadata"]["name"]): each for each in found}


def _holder(target: dict[str, str], path: str) -> Any:
    """The mapping or list that a JSON Patch operation changes. Raises where there is none."""
    found: Any = manifest(target["kind"], target["name"])
    for step in path.split("/")[1:-1]:
        found = found[int(step) if isinstance(found, list) else step]
    return found
