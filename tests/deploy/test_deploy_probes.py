"""Who asks a worker or the pages how they are asks where they answer."""

import inspect
from types import ModuleType
from typing import Any

import deployment
import pytest
from deployment import Container, of_compose, of_container, only_container
from pages_alone import status

from delivery import monitoring
from delivery.monitoring import announcing


def probes(container: Container) -> dict[str, dict[str, Any]]:
    kinds = ("startupProbe", "livenessProbe", "readinessProbe")
    return {kind: container[kind]["httpGet"] for kind in kinds}


def port_of(container: Container, name: str) -> int:
    (port,) = (port for port in container["ports"] if port["name"] == name)
    return int(port["containerPort"])


@pytest.mark.parametrize(
    ("name", "endpoints"), [("delivery-worker", monitoring), ("delivery-announce", announcing)]
)
def test_the_probes_ask_the_endpoints_that_there_are(name: str, endpoints: ModuleType) -> None:
    pod = deployment.pods()[name]
    container = only_container(pod)
    asked = {kind: probe["path"] for kind, probe in probes(container).items()}
    assert asked["livenessProbe"] == asked["startupProbe"] == "/healthz"
    assert asked["readinessProbe"] == "/readyz"
    (monitor,) = deployment.manifest("PodMonitor", name)["spec"]["podMetricsEndpoints"]
    for path in {*asked.values(), monitor["path"]}:
        assert f'"{path}":' in inspect.getsource(endpoints)
    for port in [probe["port"] for probe in probes(container).values()] + [monitor["port"]]:
        assert str(port_of(container, port)) == of_container(pod)["DELIVERY_METRICS_PORT"]


def test_the_pages_probes_are_answered_without_a_database() -> None:
    pod = deployment.pods()["delivery-serve"]
    container = only_container(pod)
    for probe in probes(container).values():
        assert status(probe["path"]) == 200
        port = port_of(container, probe["port"])
        assert str(port) == of_container(pod)["DELIVERY_WEB_PORT"]
    (service,) = deployment.manifest("Service", "delivery-serve")["spec"]["ports"]
    assert port_of(container, service["targetPort"])


@pytest.mark.parametrize("name", ["worker", "announce"])
def test_prometheus_finds_each_where_it_listens(name: str) -> None:
    (config,) = deployment.documents("prometheus/prometheus.yml")
    (job,) = (j for j in config["scrape_configs"] if j["job_name"] == f"delivery-{name}")
    (found,) = job["dns_sd_configs"]
    given = of_compose(deployment.our_services()[name])
    assert (found["names"], str(found["port"])) == ([name], given["DELIVERY_METRICS_PORT"])
    monitor = deployment.manifest("PodMonitor", f"delivery-{name}")["spec"]
    labels = deployment.manifest("Deployment", f"delivery-{name}")["spec"]["template"]["metadata"]
    assert labels["labels"][monitor["jobLabel"]] == job["job_name"]


def test_no_service_sets_a_variable_that_is_one_of_our_settings() -> None:
    # Kubernetes tells each pod the address of each Service, in variables that begin with its name.
    names = [m["metadata"]["name"] for m in deployment.manifests() if m["kind"] == "Service"]
    linked = {f"{name}_PORT".upper().replace("-", "_") for name in names}
    assert linked
    assert not linked & deployment.all_settings().keys()
    assert [pod["enableServiceLinks"] for pod in deployment.pods().values()] == [False] * 4
