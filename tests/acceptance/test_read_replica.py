"""Pages, API and the commands that only read, on a standby that follows the primary."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import processes
import pytest
from processes import Process, wait_until
from pydantic import SecretStr
from service import Service
from standby import Pair
from stream import Sent, stream
from test_commands import delivery

from delivery.embedded import postgres
from delivery.postgres import migrations

FAST = {"fsync": "off"}


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    primary = postgres.start(tmp_path / "primary", settings=FAST)
    migrations.upgrade(SecretStr(primary.url))
    pair = Pair(tmp_path, primary, tmp_path / "primary", FAST)
    yield pair
    pair.close()


@pytest.fixture
def sent(service: Service, pair: Pair) -> list[Sent]:
    """Records of all outcomes, which the standby has."""
    sent = stream(31, 500)
    service.publish(sent)
    service.drain(database_url=pair.primary.url)
    pair.await_standby()
    return sent


COMMANDS = (
    ("history", "--limit", "1000", "--format", "json"),
    ("stats", "--format", "json"),
    ("dead-letters", "list"),
    ("dead-letters", "groups"),
    ("verify",),
    ("migrate", "--check"),
)


def test_commands_that_read_say_the_same_on_a_standby(
    service: Service, pair: Pair, sent: list[Sent]
) -> None:
    for command in COMMANDS:
        on = [
            delivery(*command, **service.settings | {"database_url": server.url})
            for server in (pair.primary, pair.standby)
        ]
        assert [done.returncode for done in on] == [0, 0], on[1].stderr
        assert on[0].stdout == on[1].stdout, command
        assert on[0].stdout or command[0] in {"verify", "migrate"}


def test_pages_and_api_read_from_a_standby_and_follow_it(
    service: Service, pair: Pair, sent: list[Sent], tmp_path: Path
) -> None:
    settings = service.settings | {"web_database_url": pair.standby.url}
    del settings["database_url"]
    served = processes.start(
        tmp_path / "serve", ["-m", "delivery", "serve", "--port", "0"], settings
    )
    try:
        with httpx.Client(base_url=address(served), timeout=30) as client:
            assert client.get("/").status_code == 200
            (newest,) = client.get("/api/events?limit=1").json()["events"]
            assert client.get(f"/orders/{newest['order_id']}").status_code == 200
            service.publish([sent[0]])
            service.drain(database_url=pair.primary.url)

            def follows() -> bool:
                (event,) = client.get("/api/events?limit=1").json()["events"]
                return bool(event["record_offset"] == len(sent))

            wait_until(follows, "the pages show the record that came later", served)
    finally:
        served.running.kill()
        served.running.wait()


def address(process: Process) -> str:
    def lines() -> list[dict[str, str]]:
        said = [json.loads(x) for x in process.stderr().splitlines() if x.startswith("{")]
        return [line for line in said if line["event"] == "serving"]

    wait_until(lambda: bool(lines()), "it says its address", process)
    return lines()[0]["url"]
