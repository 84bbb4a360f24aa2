"""What belongs together in compose.yaml."""

import re

import deployment
from deployment import FOLDER, TEXTS, of_compose, only_container
from pages_alone import status


def test_what_compose_mounts_exists() -> None:
    mounts = [v for s in deployment.compose()["services"].values() for v in s.get("volumes", [])]
    sources = {mount.partition(":")[0] for mount in mounts}
    local = {source for source in sources if source.startswith("./")}
    assert [source for source in local if not (FOLDER / source).exists()] == []
    assert sources - local == deployment.compose()["volumes"].keys()


def test_compose_builds_the_image_from_the_checkout() -> None:
    for service in deployment.our_services().values():
        context = FOLDER / service["build"]["context"]
        assert (context / service["build"]["dockerfile"]).samefile(FOLDER / "Dockerfile")


def test_the_variables_that_compose_asks_for_are_in_the_example() -> None:
    asked = set(re.findall(r"\$\{(\w+)", TEXTS["deploy/compose.yaml"]))
    assert asked == set(re.findall(r"^(\w+)=$", TEXTS["deploy/env.example"], re.MULTILINE))


def test_compose_migrates_before_anything_of_ours_starts() -> None:
    services = deployment.our_services()
    for name in services.keys() - {"migrate"}:
        needs = services[name]["depends_on"]["migrate"]
        assert needs == {"condition": "service_completed_successfully"}


def test_the_topic_that_compose_makes_is_the_one_that_is_read() -> None:
    worker, topic = deployment.our_services()["worker"], deployment.compose()["services"]["topic"]
    assert f"--topic={of_compose(worker)['DELIVERY_KAFKA_TOPIC']}" in topic["command"]
    (partitions,) = [part for part in topic["command"] if part.startswith("--partitions=")]
    assert worker["deploy"]["replicas"] <= int(partitions.partition("=")[2])


def test_nothing_that_announces_starts_unless_it_is_asked_for() -> None:
    services = deployment.compose()["services"]
    found = {name for name, service in services.items() if service.get("profiles") == ["announce"]}
    assert found == {name for name in services if name.startswith("announce")}
    topics = {
        of_compose(services[name])["DELIVERY_ANNOUNCE_TOPIC"] for name in ("worker", "announce")
    }
    assert len(topics) == 1


def test_the_roles_that_are_given_rights_are_the_ones_that_are_made_and_used() -> None:
    made = set(re.findall(r"CREATE ROLE (\w+)", TEXTS["deploy/postgres/roles.sql"]))
    migrations = [
        deployment.our_services()["migrate"]["command"],
        only_container(deployment.pods()["delivery-migrate"])["args"],
    ]
    for command in migrations:
        assert set(command[2::2]) | {"delivery_owner", "delivery_announcer"} == made
    rights = deployment.our_services()["announce-rights"]["command"]
    assert rights == ["migrate", "--announcer-role", "delivery_announcer"]
    used = [re.findall(r"postgresql://(\w+):", text) for text in TEXTS.values()]
    assert {name for names in used for name in names} == made


def test_compose_checks_the_pages_at_an_address_that_answers() -> None:
    service = deployment.our_services()["serve"]
    (url,) = re.findall(r"http://127.0.0.1:\d+(/\w+)", service["healthcheck"]["test"][-1])
    assert f":{of_compose(service)['DELIVERY_WEB_PORT']}/" in service["healthcheck"]["test"][-1]
    assert status(url) == 200


def test_every_port_that_compose_opens_is_open_to_this_machine_only() -> None:
    ports = [port for s in deployment.compose()["services"].values() for port in s.get("ports", [])]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []
