"""How workers and pages are stopped, started again and held: rights, memory, selectors."""

import re

import deployment
import pytest
from deployment import FOLDER, TEXTS, UNITS, only_container

from delivery import cli
from delivery.broker import consumer
from delivery.web import server
from delivery.worker import shutdown

# Seconds from SIGTERM to the worker's end, whatever hangs.
WORKER_ENDS_WITHIN = shutdown.GRACE_S + consumer.CLOSE_TIMEOUT_MS / 1000


def seconds(duration: str) -> int:
    return int(duration.removesuffix("s"))


# To end in peace, and to be started again


def test_whoever_stops_a_worker_waits_for_its_end() -> None:
    worker = deployment.our_services()["worker"]
    waits = [
        seconds(worker["stop_grace_period"]),
        deployment.pods()["delivery-worker"]["terminationGracePeriodSeconds"],
        seconds(*deployment.unit(UNITS[0])["TimeoutStopSec"]),
    ]
    assert min(waits) >= WORKER_ENDS_WITHIN + 5  # a machine may be slow


def test_whoever_stops_an_announcer_waits_as_long_as_for_a_worker() -> None:
    waits = [
        seconds(deployment.our_services()["announce"]["stop_grace_period"]),
        deployment.pods()["delivery-announce"]["terminationGracePeriodSeconds"],
        seconds(*deployment.unit("delivery-announce.service")["TimeoutStopSec"]),
    ]
    assert min(waits) >= shutdown.GRACE_S + 5


def test_whoever_stops_the_pages_waits_for_the_answers_in_hand() -> None:
    pod = deployment.pods()["delivery-serve"]
    before = only_container(pod)["lifecycle"]["preStop"]["sleep"]["seconds"]
    waits = [
        seconds(deployment.our_services()["serve"]["stop_grace_period"]),
        pod["terminationGracePeriodSeconds"] - before,
        seconds(*deployment.unit(UNITS[1])["TimeoutStopSec"]),
    ]
    assert min(waits) >= server.STOP_TIMEOUT_S + 5


@pytest.mark.parametrize("unit", UNITS)
def test_a_limit_of_file_descriptors_is_set_for_whoever_listens(unit: str) -> None:
    assert deployment.unit(unit)["LimitNOFILE"] == ["4096"]


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_does_not_start_again_what_a_new_start_does_not_cure(unit: str) -> None:
    lines = deployment.unit(unit)
    assert lines["RestartPreventExitStatus"] == [f"{cli.NO} {cli.USAGE}"]
    assert (lines["Restart"], lines["KillSignal"]) == (["on-failure"], ["SIGTERM"])
    assert int(*lines["RestartSec"]) >= 5


def test_the_migration_is_not_tried_again_where_that_cures_nothing() -> None:
    job = deployment.manifest("Job", "delivery-migrate")["spec"]
    (rule,) = job["podFailurePolicy"]["rules"]
    assert (rule["action"], rule["onExitCodes"]["values"]) == ("FailJob", [cli.NO, cli.USAGE])
    assert rule["onExitCodes"]["containerName"] == only_container(job["template"]["spec"])["name"]
    assert job["template"]["spec"]["restartPolicy"] == "Never"  # or the policy is refused


# Rights and resources


@pytest.mark.parametrize("name", deployment.pods())
def test_a_pod_has_no_right_that_it_does_not_need(name: str) -> None:
    pod = deployment.pods()[name]
    container = only_container(pod)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("name", deployment.our_services())
def test_a_container_of_compose_has_no_right_that_it_does_not_need(name: str) -> None:
    service = deployment.our_services()[name]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_a_worker_has_more_memory_than_was_measured() -> None:
    (measured,) = re.findall(r"peak memory \| (\d+) MB", (FOLDER.parent / "README.md").read_text())
    resources = only_container(deployment.pods()["delivery-worker"])["resources"]
    compose = deployment.our_services()["worker"]["deploy"]["resources"]
    given = [
        resources["requests"]["memory"].removesuffix("Mi"),
        resources["limits"]["memory"].removesuffix("Mi"),
        compose["limits"]["memory"].removesuffix("M"),
        deployment.unit(UNITS[0])["MemoryMax"][0].removesuffix("M"),
    ]
    assert min(map(int, given)) > int(measured)
    for text in (TEXTS["deploy/kubernetes/base/worker.yaml"], TEXTS[f"deploy/systemd/{UNITS[0]}"]):
        assert f"{measured} MB" in text


def test_what_selects_pods_selects_the_ones_that_are_there() -> None:
    labels = {
        name: deployment.manifest("Deployment", name)["spec"]["template"]["metadata"]["labels"]
        for name in ("delivery-worker", "delivery-serve", "delivery-announce")
    }
    selecting = [m for m in deployment.manifests() if m["kind"] not in {"Job"}]
    for manifest in (m for m in selecting if "selector" in m.get("spec", {})):
        selector = manifest["spec"]["selector"]
        wanted = selector.get("matchLabels", selector)
        assert wanted.items() <= labels[manifest["metadata"]["name"]].items()


def test_the_secrets_that_pods_want_are_in_the_example_and_hold_none() -> None:
    given = [m for m in deployment.manifests() if m["kind"] == "Secret"]
    passwords = [
        v for m in given for k, v in m["stringData"].items() if re.search("URL|PASSWORD", k)
    ]
    assert len(passwords) == 5
    assert all("CHANGE-ME" in value for value in passwords)
