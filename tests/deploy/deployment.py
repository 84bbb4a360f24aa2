"""What stands in deploy/, read for the tests: texts, documents, commands, environments."""

import re
from pathlib import Path
from typing import Any

import yaml
from pydantic_settings import BaseSettings

from delivery import settings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy"
KUBERNETES = FOLDER / "kubernetes"
IMAGE = "delivery"  # the name that our own image has in compose.yaml and in the manifests

# Every file: a file without an ending we know is read as text too, so that nothing is left out.
TEXTS = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in sorted(FOLDER.rglob("*"))
    if path.is_file() and path.name != ".env"  # somebody's passwords
}

UNITS = ("delivery-worker@.service", "delivery-serve.service", "delivery-announce.service")

Container = dict[str, Any]
Environment = dict[str, str]


def documents(name: str) -> list[Any]:
    """The documents of a YAML file below deploy/."""
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


def compose() -> dict[str, Any]:
    (document,) = documents("compose.yaml")
    return document


def our_services() -> dict[str, Container]:
    """The services of compose.yaml that run our image."""
    return {n: s for n, s in compose()["services"].items() if s["image"] == IMAGE}


def manifests() -> list[dict[str, Any]]:
    """Everything for Kubernetes, but the kustomizations and what they patch."""
    files = sorted(KUBERNETES.rglob("*.yaml"))
    no_manifests = {"kustomization.yaml", "settings.yaml"}
    names = [str(f.relative_to(FOLDER)) for f in files if f.name not in no_manifests]
    return [document for name in names for document in documents(name)]


def manifest(kind: str, name: str) -> dict[str, Any]:
    (found,) = (m for m in manifests() if (m["kind"], m["metadata"]["name"]) == (kind, name))
    return found


def pods() -> dict[str, dict[str, Any]]:
    """The pod of each workload, by its name."""
    workloads = [m for m in manifests() if m["kind"] in {"Deployment", "Job"}]
    return {m["metadata"]["name"]: m["spec"]["template"]["spec"] for m in workloads}


def only_container(pod: dict[str, Any]) -> Container:
    (container,) = pod["containers"]
    return container


def unit(name: str) -> dict[str, list[str]]:
    """The lines of a systemd unit: each name with its values, in their order."""
    lines: dict[str, list[str]] = {}
    for line in (FOLDER / "systemd" / name).read_text().splitlines():
        key, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            lines.setdefault(key, []).append(value)
    return lines


def environment_file(name: str, uncommented: bool = False) -> Environment:
    """The variables of an example for EnvironmentFile, with what stands in comments or without."""
    text = (FOLDER / "systemd" / name).read_text()
    hash_ = "#?" if uncommented else ""
    return dict(re.findall(rf"^{hash_}([A-Z_]+)=(.*)$", text, re.MULTILINE))


def of_compose(service: Container) -> Environment:
    """A service's variables, each password given."""
    plain = {name: str(value) for name, value in service.get("environment", {}).items()}
    return {name: re.sub(r"\$\{[^}]+\}", "x", value) for name, value in plain.items()}


def of_container(pod: dict[str, Any]) -> Environment:
    """The settings of a pod's container: the files that it mounts, and its variables over them."""
    container = only_container(pod)
    found: Environment = {}
    plain = {given["name"]: given["value"] for given in container["env"]}
    (volume,), (mount,) = pod["volumes"], container["volumeMounts"]
    folder = plain.pop("DELIVERY_SECRETS_DIR")
    assert (mount["name"], mount["mountPath"]) == (volume["name"], folder)
    for source in volume["projected"]["sources"]:
        found |= manifest("Secret", source["secret"]["name"])["stringData"]
    for source in container.get("envFrom", []):
        found |= manifest("ConfigMap", source["configMapRef"]["name"])["data"]
    return found | plain


def all_settings() -> dict[str, type[BaseSettings]]:
    """Each variable's name, with a class that reads it."""
    classes = [
        found
        for found in vars(settings).values()
        if isinstance(found, type) and issubclass(found, BaseSettings) and found is not BaseSettings
    ]
    return {
        f"{settings.PREFIX}{name}".upper(): found
        for found in classes
        for name in found.model_fields
    }


# What each command reads when it starts.
READ_BY: dict[str, list[type[BaseSettings]]] = {
    "worker": [
        settings.DatabaseSettings,
        settings.KafkaSettings,
        settings.WorkerSettings,
        settings.MonitoringSettings,
        settings.TracingSettings,
        settings.AnnounceSettings,
    ],
    "announce": [
        settings.DatabaseSettings,
        settings.KafkaSettings,
        settings.WorkerSettings,
        settings.MonitoringSettings,
        settings.AnnounceSettings,
    ],
    "migrate": [settings.DatabaseSettings],
    "serve": [settings.WebSettings, settings.KafkaSettings],
    "serve with DELIVERY_WEB_LOGIN=oidc": [settings.OidcSettings],
}
