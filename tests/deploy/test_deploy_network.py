"""What the network policies let through is what the pods listen on and talk to."""

from typing import Any

import deployment
import pytest
from deployment import manifest, only_container, pods


def policies() -> dict[str, dict[str, Any]]:
    return {
        m["metadata"]["name"]: m["spec"]
        for m in deployment.manifests()
        if m["kind"] == "NetworkPolicy"
    }


def selects(policy: dict[str, Any], labels: dict[str, str]) -> bool:
    selector = policy["podSelector"]
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(e["key"]) in e["values"] for e in selector.get("matchExpressions", [])
    )


def labels(pod: str) -> dict[str, str]:
    kind = "Job" if pod == "delivery-migrate" else "Deployment"
    found: dict[str, str] = manifest(kind, pod)["spec"]["template"]["metadata"]["labels"]
    return found


def ports(pod: str, direction: str) -> set[int | str]:
    of_pod = [policy for policy in policies().values() if selects(policy, labels(pod))]
    rules = [rule for policy in of_pod for rule in policy.get(direction, [])]
    return {port["port"] for rule in rules for port in rule["ports"]}


def test_what_is_not_named_is_refused() -> None:
    deny = policies()["delivery-deny"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize("pod", pods())
def test_each_pod_reaches_its_servers_and_no_others(pod: str) -> None:
    given = deployment.of_container(pods()[pod])
    urls = [value for name, value in given.items() if name.endswith("DATABASE_URL")]
    wanted = {53} | {int(url.split("@")[1].split(":")[1].split("/")[0]) for url in urls}
    servers = given.get("DELIVERY_KAFKA_BOOTSTRAP_SERVERS", "")
    wanted |= {int(server.rpartition(":")[2]) for server in servers.split(",") if server}
    assert ports(pod, "egress") == wanted


@pytest.mark.parametrize("pod", pods())
def test_each_pod_is_reached_where_it_listens(pod: str) -> None:
    listens = {port["name"] for port in only_container(pods()[pod]).get("ports", [])}
    assert ports(pod, "ingress") == listens
