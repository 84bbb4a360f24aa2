"""Which tests need a broker, and which of them run while no other test does."""

import fcntl
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

BROKERS = {"kafka_server", "secured_kafka"}  # fixtures

MARKERS = {
    "kafka": f"needs a broker; set by itself where a test uses one of {', '.join(sorted(BROKERS))}",
    "alone": "runs last, and while no other test does",
}


def pytest_configure(config: pytest.Config) -> None:
    for name, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if BROKERS.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.kafka)
    items.sort(key=_is_alone)


@pytest.hookimpl(wrapper=True, tryfirst=True)  # around the time limit: to wait is no test's fault
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Tests in several processes share a lock on this file, which one `alone` has to itself."""
    with Path(__file__).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if _is_alone(item) else fcntl.LOCK_SH)
        return (yield)


def _is_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None
