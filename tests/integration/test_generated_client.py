"""A client that is generated from the API's description does what the description says."""

import importlib
import sys
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from types import ModuleType
from typing import Any

import every_outcome
import openapi_python_client
import pytest
from every_outcome import ORDER
from openapi_python_client.config import Config, ConfigFile, MetaType
from served import served, wait_until

from delivery.postgres.database import Connection

NAME = "generated_delivery_client"


@pytest.fixture
def url(connection: Connection, database_url: str) -> Iterator[str]:
    every_outcome.fill(connection)
    with served(database_url) as address:
        yield address


@pytest.fixture
def generated(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The package, generated without a warning, and imported."""
    config = Config.from_sources(
        ConfigFile(package_name_override=NAME, post_hooks=[]),
        MetaType.NONE,
        document_source=f"{url}/api/v1/openapi.json",
        file_encoding="utf-8",
        overwrite=False,
        output_path=tmp_path / NAME,
    )
    assert openapi_python_client.generate(config=config) == []
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module(NAME)
    for name in [name for name in sys.modules if name.partition(".")[0] == NAME]:
        del sys.modules[name]


@pytest.fixture
def client(generated: ModuleType, url: str) -> Iterator[Any]:
    with generated.Client(base_url=url) as client:
        yield client


def call(operation: str, **arguments: Any) -> Any:
    """Calls an operation, such as `orders.get_order`."""
    return importlib.import_module(f"{NAME}.api.{operation}").sync(**arguments)


def model(name: str) -> Any:
    return getattr(importlib.import_module(f"{NAME}.models"), name)


def test_it_reads_an_order_with_its_types(client: Any) -> None:
    order = call("orders.get_order", client=client, order_id=ORDER)
    assert order.delivery.quantity == 3
    assert order.delivery.ordered_by is model("Masked").VALUE_0
    assert order.history[0].outcome is model("EventOutcome").CREATED
    assert order.history[0].consumed_at.astimezone(UTC).utcoffset().total_seconds() == 0


def test_it_gets_a_problem_where_there_is_one(client: Any) -> None:
    problem = call("orders.get_order", client=client, order_id=424242)
    assert isinstance(problem, model("Problem"))
    assert problem.status == 404
    assert problem.request_id


def test_it_pages_through_the_events_and_follows_them(client: Any) -> None:
    pages, cursor = [], None
    while not pages or cursor is not None:
        page = call("events.list_events", client=client, limit=4, cursor=cursor)
        pages += page.events
        cursor = page.next_
    followed: list[Any] = []
    answer = call("events.list_events", client=client, after="start")

    def follow() -> bool:
        nonlocal answer
        followed.extend(answer.events)
        answer = call("events.list_events", client=client, after=answer.after)
        return len(followed) >= len(pages)

    wait_until(follow)
    assert [event.record_offset for event in followed] == [e.record_offset for e in pages][::-1]


def test_it_reads_a_letter_of_the_list(client: Any) -> None:
    letters = call("dead_letters.list_dead_letters", client=client).dead_letters
    letter = call(
        "dead_letters.get_dead_letter", client=client, dead_letter_id=letters[1].dead_letter_id
    )
    assert letter.record_value is model("Masked").VALUE_0
    assert letter.error == letters[1].error
