"""Whatever is asked of the API, its answer is the one that its OpenAPI description promises."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import every_outcome
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from served import served

from delivery.postgres.database import Connection

OPERATIONS = 7
EXAMPLES = 25  # for each operation


@pytest.fixture
def url(connection: Connection, database_url: str) -> Iterator[str]:
    """The description of an API whose log has a row of every outcome."""
    every_outcome.fill(connection)
    with served(database_url) as address:
        yield f"{address}/api/v1/openapi.json"


@pytest.fixture
def unmasked_url(connection: Connection, database_url: str) -> Iterator[str]:
    """The same where everybody may search by personal data."""
    every_outcome.fill(connection)
    with served(database_url, web_show_personal_data=True) as address:
        yield f"{address}/api/v1/openapi.json"


def test_every_answer_is_as_described(url: str, tmp_path: Path) -> None:
    """Also to requests that break the description: none is accepted, and none is answered by 500.

    No pattern tells which texts are cursors, so that of these well-formed ones may be refused.
    """
    checks = ["--checks", "all", "--exclude-checks", "positive_data_acceptance"]
    bounds = ["--max-examples", str(EXAMPLES), "--generation-deterministic", "--mode", "all",
              "--phases", "examples,coverage,fuzzing"]  # fmt: skip
    command = [sys.executable, "-m", "schemathesis.cli", "run", url, *checks, *bounds]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert f"Tested: {OPERATIONS}" in done.stdout


def test_every_request_that_is_as_described_is_accepted(unmasked_url: str) -> None:
    described = schemathesis.openapi.from_url(unmasked_url)
    operations = [found.ok() for found in described.get_all_operations()]
    assert len(operations) == OPERATIONS
    for operation in operations:

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
        def accept(case: Case) -> None:
            query = case.query or {}
            query.pop("cursor", None)
            if "event_id" in query:
                query.pop("ordered_by", None)
            if "after" in query:
                query.pop("event_id", None)
                query.pop("ordered_by", None)
                query["after"] = "start"
                query.pop("format", None)  # which it has in JSON only
            case.call_and_validate()

        accept()
