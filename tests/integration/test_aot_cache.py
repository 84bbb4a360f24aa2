"""The cache that the tests' brokers start from."""

import os
from pathlib import Path

import aot_cache
import pytest
from aot_cache import FILE

from delivery.embedded.kafka import KafkaServer


@pytest.mark.usefixtures("kafka_server")
def test_the_tests_brokers_start_from_the_cache() -> None:
    assert aot_cache.fits(FILE)
    assert str(FILE) in os.environ["JDK_JAVA_OPTIONS"]


def test_java_starts_without_a_cache_that_does_not_fit(
    kafka_server: KafkaServer, tmp_path: Path
) -> None:
    half = tmp_path / "half"
    half.write_bytes(FILE.read_bytes()[: FILE.stat().st_size // 2])
    assert not aot_cache.fits(half)
    assert aot_cache.java(f"-XX:AOTCache={half}") == 0
