"""`delivery check` as a process: a table, JSON, and an exit code for each kind of fault."""

import json

import pytest
from service import Service
from test_commands import Done, delivery

NOWHERE = {
    "database_url": "postgresql://nobody@127.0.0.1:1/none",
    "kafka_bootstrap_servers": "127.0.0.1:1",
}


def check(service: Service, *options: str, **settings: str) -> Done:
    return delivery("check", *options, **service.settings | settings)


def test_where_a_worker_could_run_nothing_failed(service: Service) -> None:
    service.publish([])
    done = check(service)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"ok       topic           {service.topic}: 1 partition of 1 replica\n" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("nothing failed, ")
    told = [json.loads(line) for line in check(service, "--format", "json").stdout.splitlines()]
    assert {tuple(line) for line in told} == {("check", "result", "text", "todo")}
    assert {line["result"] for line in told} == {"ok", "warning"}
    assert all(bool(line["todo"]) is (line["result"] != "ok") for line in told)


@pytest.mark.parametrize(
    ("settings", "code", "failed"),
    [
        ({"kafka_topic": "never-made"}, 1, {"topic"}),
        ({"batch_size": "many"}, 2, {"settings"}),
        ({"database_url": NOWHERE["database_url"]}, 3, {"database"}),
        (NOWHERE, 3, {"database", "broker"}),
        (NOWHERE | {"batch_size": "many"}, 2, {"settings", "database", "broker"}),
    ],
    ids=["topic", "setting", "PostgreSQL", "both servers", "all of it"],
)
def test_each_kind_of_fault_has_its_exit_code_and_what_to_do(
    service: Service, settings: dict[str, str], code: int, failed: set[str]
) -> None:
    service.publish([])
    done = check(service, "--format", "json", **settings)
    assert (done.returncode, done.stderr) == (code, "")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    wrong = [line for line in told if line["result"] == "failed"]
    assert {line["check"] for line in wrong} == failed
    assert all(line["todo"] for line in wrong)


def test_a_variable_that_is_no_setting_is_a_warning_of_its_own(service: Service) -> None:
    done = check(service, kafka_topc="orders")
    assert "warning  settings        DELIVERY_KAFKA_TOPC is no setting" in done.stdout
    assert done.stdout.count("DELIVERY_KAFKA_TOPC") == 1
    assert done.stderr == ""
