"""Real workers behind a real pgbouncer."""

from pathlib import Path

import pytest
from pooler import needs_pgbouncer, pooled
from service import Service
from stream import stream, truth
from tables import assert_dead_letters, deliveries, outcomes


@needs_pgbouncer
@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_a_topic_read_twice_behind_a_pooler_becomes_what_the_truth_says(
    service: Service, database_url: str, tmp_path: Path, mode: str
) -> None:
    sent = stream(8, 3000)
    service.publish(sent)
    with pooled(database_url, tmp_path, mode, size=2) as url:
        service.drain(database_url=url)
        again = service.drain(database_url=url, kafka_group_id="another")
    told = truth(sent)
    assert outcomes(service.connection) == told.outcomes
    assert deliveries(service.connection) == told.deliveries
    assert_dead_letters(service.connection, sent)
    assert again == {"redelivered": 3000}
