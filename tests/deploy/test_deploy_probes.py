"""Who asks a worker or the pages how they are asks where they answer."""

import inspect
from typing import Any

import deployment
from deployment import Container, of_compose, of_container, only_container
from pages_alone import status

from delivery import monitoring


def probes(container: Container) -> dict[str, dict[str, Any]]:
    kinds = ("startupProbe", "livenessProbe", "readinessProbe")
    return {kind: container[kind]["httpGet"] for kind in kinds}


def port_of(container: Container, name: str) -> int:
    (port,) = (port for port in container["ports"] if port["name"] == name)
    return int(port["containerPort"])


def test_the_workers_probes_ask_the_endpoints_that_it_has() -> None:
    pod = deployment.pods()["delivery-worker"]
    container = only_container(pod)
    asked = {kind: probe["path"] for kind, probe in probes(container).items()}
    assert asked["livenessProbe"] == asked["startupProbe"] == "/healthz"
    assert asked["readinessProbe"] == "/readyz"
    (monitor,) = deployment.manifest("PodMonitor", "delivery-worker")["spec"]["podMetricsEndpoints"]
    for path in {*asked.values(), monitor["path"]}:
        assert f'"{path}":' in inspect.getsource(monitoring)
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


def test_prometheus_finds_the_workers_where_they_listen() -> None:
    (config,) = deployment.documents("prometheus/prometheus.yml")
    (job,) = config["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    worker = of_compose(deployment.our_services()["worker"])
    assert (found["names"], str(found["port"])) == (["worker"], worker["DELIVERY_METRICS_PORT"])
    monitor = deployment.manifest("PodMonitor", "delivery-worker")["spec"]
    labels = deployment.manifest("Deployment", "delivery-worker")["spec"]["template"]["metadata"]
    assert labels["labels"][monitor["jobLabel"]] == job["job_name"]


def test_no_service_sets_a_variable_that_is_one_of_our_settings() -> None:
    # Kubernetes tells each pod the address of each Service, in variables that begin with its name.
    names = [m["metadata"]["name"] for m in deployment.manifests() if m["kind"] == "Service"]
    linked = {f"{name}_PORT".upper().replace("-", "_") for name in names}
    assert linked
    assert not linked & deployment.all_settings().keys()
    assert [pod["enableServiceLinks"] for pod in deployment.pods().values()] == [False] * 3
