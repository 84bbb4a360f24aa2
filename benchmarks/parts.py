"""The parts of a run. Each is measured on its own and kept in a file of its own as it grows."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.environment import Environment
from benchmarks.measures import correctness, growth, latency, profile, throughput, workers
from benchmarks.sizes import Sizes

Samples = list[dict[str, Any]]


@dataclass(frozen=True)
class Part:
    """`minutes` is what a full run of it takes on two cores, `postgres` the server's settings."""

    name: str
    measure: Callable[[Environment, Sizes], Iterator[dict[str, Any]]]
    minutes: float
    postgres: Callable[[], Mapping[str, str]] = dict


PARTS = (
    Part("throughput", throughput.measure, 5),
    Part("latency", latency.measure, 7),
    Part("workers", workers.measure, 5),
    Part("correctness", correctness.measure, 4),
    Part("profile", profile.measure, 2),
    Part("growth-sequential", growth.sequential, 14, growth.postgres_settings),
    Part("growth-random", growth.drawn, 16, growth.postgres_settings),
)


class UnknownPartError(Exception):
    """A name that no part has."""


def chosen(names: str) -> list[Part]:
    """The parts whose names begin with one of these; all for none. Raises UnknownPartError."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if not any(part.name.startswith(name) for part in PARTS):
            known = ", ".join(part.name for part in PARTS)
            raise UnknownPartError(f"there is no part {name!r}: choose of {known}")
    return [p for p in PARTS if not wanted or any(p.name.startswith(name) for name in wanted)]


def save(folder: Path, part: Part, samples: Samples, **facts: Any) -> None:
    """Writes what there is so far: an interrupted run loses at most one sample.

    `facts` are `quick`, `complete` and the `postgresql_settings`.
    """
    (folder / "parts").mkdir(parents=True, exist_ok=True)
    measured_at = datetime.now(UTC).isoformat(timespec="seconds")
    content = {"part": part.name, **facts, "measured_at": measured_at, "samples": samples}
    file = folder / "parts" / f"{part.name}.json"
    beside = file.with_suffix(".part")
    beside.write_text(json.dumps(content, indent=1) + "\n")
    beside.replace(file)


def load(folder: Path) -> dict[str, dict[str, Any]]:
    """All parts that are there, in the order of a run."""
    files = {part.name: folder / "parts" / f"{part.name}.json" for part in PARTS}
    return {name: json.loads(file.read_text()) for name, file in files.items() if file.exists()}
