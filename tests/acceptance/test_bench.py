"""`scripts/bench --quick`: every contender did what it should. How fast, no test tells."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PARTS = {
    "throughput",
    "latency",
    "workers",
    "correctness",
    "profile",
    "growth-sequential",
    "growth-random",
}
CHARTS = ("throughput", "cost", "latency", "growth", "lookups", "workers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a quick run."""
    folder = tmp_path_factory.mktemp("bench")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--report", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Throughput" in done.stdout
    return folder


@pytest.fixture(scope="module")
def report(folder: Path) -> dict[str, Any]:
    """Its report.json."""
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


@pytest.fixture(scope="module")
def samples(report: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """What was measured, by part."""
    return {name: part["samples"] for name, part in report["parts"].items()}


pytestmark = [
    pytest.mark.kafka,
    pytest.mark.alone,
    pytest.mark.timeout(400),  # the first test waits for the run
]


def test_a_report_has_every_part_and_the_machine(report: dict[str, Any]) -> None:
    assert report["parts"].keys() == PARTS
    assert all(part["complete"] and part["samples"] for part in report["parts"].values())
    assert all(p["postgresql_settings"]["fsync"] == "on" for p in report["parts"].values())
    assert report["machine"]["cores"]


def test_a_report_has_its_charts(folder: Path) -> None:
    for chart in CHARTS:
        assert (folder / f"{chart}.png").read_bytes().startswith(b"\x89PNG")


def test_the_documents_figures_are_those_of_the_report_beside_it() -> None:
    from benchmarks.report import DOCS, renewed  # here: it needs the extra `bench`

    report = json.loads((DOCS.with_suffix("") / "report.json").read_text())
    document = DOCS.read_text()
    assert renewed(document, report) == document
    for chart in re.findall(r"\]\((benchmarks/\w+\.png)\)", document):
        assert (DOCS.parent / chart).exists()


def test_every_contender_processed_every_record(samples: dict[str, list[dict[str, Any]]]) -> None:
    throughput = {s["contender"]: s for s in samples["throughput"]}
    for design in ("worker", "ordinary_inbox", "redis_design"):
        assert throughput[design]["lost"] == 0, design
    for limit in ("bare_poll", "bare_copy"):
        assert throughput[limit]["said"] == throughput[limit]["records"], limit
    assert all(s["rate"] > 0 and s["peak_memory"] for s in throughput.values())
    assert throughput["worker"]["process_cpu"] > 0 < throughput["worker"]["postgres_cpu"]


@pytest.mark.parametrize("design", ["worker", "ordinary_inbox"])
def test_who_has_one_transaction_loses_and_doubles_nothing(
    design: str, samples: dict[str, list[dict[str, Any]]]
) -> None:
    its_own = [s for s in samples["correctness"] if s["contender"] == design]
    its_own += [s for s in samples["throughput"] if s["contender"] == design]
    its_own += samples["workers"] if design == "worker" else []
    assert [(s["lost"], s["doubled"]) for s in its_own] == [(0, 0)] * len(its_own)
    assert {s["fault"] for s in its_own if "fault" in s} == {
        "killed",
        "insert fails once",
        "replayed after the keys expired",
    }


def test_the_faults_are_real_for_the_redis_design_loses_and_doubles(
    samples: dict[str, list[dict[str, Any]]],
) -> None:
    redis = {s["fault"]: s for s in samples["correctness"] if s["contender"] == "redis_design"}
    failing, replayed = redis["insert fails once"], redis["replayed after the keys expired"]
    assert failing["lost"] == failing["struck"] > 0
    assert replayed["doubled"] == replayed["orders"] > 0


def test_latency_history_and_growth_are_measured(
    samples: dict[str, list[dict[str, Any]]],
) -> None:
    worker = [s for s in samples["latency"] if s["contender"] == "worker"]
    assert worker
    assert all(0 < s["p50"] <= s["p99"] <= s["p999"] for s in worker if s["keeps_up"])
    growth = samples["growth-sequential"] + samples["growth-random"]
    grown = {("sequential", 20_000), ("random", 20_000)}
    assert {(s["ids"], s["rows"]) for s in growth if "ratio" in s} == grown
    looked = [s for s in growth if "order_ms" in s]
    assert {(s["ids"], s["rows"]) for s in looked} == grown | {("sequential", 0), ("random", 0)}
    assert all(s["order_ms"] > 0 and s["window_ms"] > 0 for s in looked)
