"""Which tests need which servers, and which of them run while no other does."""

import fcntl
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

MARKERS = {
    "kafka": "has a broker; set by itself where the test uses the fixture kafka_server",
    "alone": "runs last, and while no other test does",
}


def pytest_configure(config: pytest.Config) -> None:
    for name, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "kafka_server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)
    items.sort(key=lambda item: item.get_closest_marker("alone") is not None)


@pytest.hookimpl(wrapper=True, tryfirst=True)  # around the time limit: to wait is no test's fault
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Where tests run in several processes, they share a lock that one `alone` has to itself."""
    run = getattr(item.config, "workerinput", {}).get("testrunuid")
    if run is None:
        return (yield)
    alone = item.get_closest_marker("alone") is not None
    with (Path(tempfile.gettempdir()) / f"delivery-tests-{run}").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        return (yield)
