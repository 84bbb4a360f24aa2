"""The samples as tables: medians, with the least and the greatest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.contenders import ALL, DESIGNS, POLL, WORKER, Contender
from benchmarks.parts import Samples
from benchmarks.spread import Spread, scaled, spread

MEGABYTE = 2**20


@dataclass(frozen=True)
class Figures:
    """A table, and the chart that shows the same."""

    title: str
    note: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    chart: str | None = None  # its name, without ending


def of(parts: Mapping[str, Mapping[str, Any]]) -> list[Figures]:
    """All that can be said of the parts that are there."""
    samples = {name: part["samples"] for name, part in parts.items()}
    growing = [*samples.get("growth-sequential", []), *samples.get("growth-random", [])]
    tables: list[tuple[Callable[[Samples], Figures], Samples]] = [
        (throughput, samples.get("throughput", [])),
        (cost, samples.get("throughput", [])),
        (correctness, samples.get("correctness", [])),
        (latency, samples.get("latency", [])),
        (growth, [s for s in growing if "ratio" in s or "rate_after_checkpoint" in s]),
        (lookups, [s for s in growing if "order_ms" in s]),
        (workers, samples.get("workers", [])),
        (profile, samples.get("profile", [])),
    ]
    return [table(found) for table, found in tables if found]


def where(samples: Samples, **wanted: Any) -> Samples:
    """The samples of which all of this is true."""
    return [s for s in samples if all(s.get(name) == value for name, value in wanted.items())]


def throughput(samples: Samples) -> Figures:
    """Records a second, also as a share of the limit."""
    rates = {c: spread(where(samples, contender=c.name), "rate") for c in ALL}
    limit, rows = rates[POLL], []
    for contender, rate in rates.items():
        if rate is not None:
            share = f"{rate.median / limit.median:.3f}" if limit else ""
            (count, *_) = (s["records"] for s in where(samples, contender=contender.name))
            rows.append([contender.label, f"{count:,}", str(rate), share])
    return Figures(
        "Throughput",
        "Records a second from the first poll to the last database commit. The slow designs drain "
        "fewer records of the same topic: the rate is what counts.",
        ("contender", "records", "records/s", "of the bare poll"),
        rows,
        "throughput",
    )


def cost(samples: Samples) -> Figures:
    """What a million records take of the machine."""
    rows = []
    for contender in ALL:
        of_it = where(samples, contender=contender.name)
        if not of_it:
            continue
        cpu = [spread(of_it, f"{name}_cpu") for name in ("process", "postgres", "redis")]
        memory = scaled(of_it, "peak_memory", 1 / MEGABYTE)
        disk = [spread(of_it, name) for name in ("bytes_per_record", "redis_bytes_per_key")]
        rows.append([contender.label, *map(_shown, [*cpu, memory, *disk])])
    return Figures(
        "Cost",
        "CPU seconds for a million records, counted from the first poll. One for a "
        "million is a microsecond a record. Bytes on disk are tables and indexes after VACUUM; the "
        "bare COPY holds all its rows in memory before it begins.",
        (
            "contender",
            "process, CPU s",
            "PostgreSQL, CPU s",
            "Redis, CPU s",
            "peak memory, MiB",
            "bytes on disk a record",
            "bytes in Redis a key",
        ),
        rows,
        "cost",
    )


def correctness(samples: Samples) -> Figures:
    """Deliveries lost and doubled, in all rounds together."""
    rows = []
    for fault in dict.fromkeys(s["fault"] for s in samples):
        for contender in DESIGNS:
            if of_it := where(samples, fault=fault, contender=contender.name):
                names = ("struck", "orders", "lost", "doubled")
                rows.append([fault, contender.label, *(_summed(of_it, name) for name in names)])
    return Figures(
        "Correctness beside speed",
        "Struck are the SIGKILLs that hit the process at work, the orders whose first insert "
        "fails, and the orders that are read again. Each order must end with one delivery. The "
        "figures are sums over the rounds; where rounds differ, with the least and the greatest.",
        ("fault", "design", "struck", "orders", "lost", "doubled"),
        rows,
    )


def _summed(samples: Samples, name: str) -> str:
    counts = [s[name] for s in samples]
    total = f"{sum(counts):,}"
    return total if min(counts) == max(counts) else f"{total} ({min(counts):,} to {max(counts):,})"


def latency(samples: Samples) -> Figures:
    """Percentiles at each rate."""
    rows = []
    for rate in sorted({s["rate"] for s in samples}):
        for contender in DESIGNS:
            of_it = where(samples, rate=rate, contender=contender.name)
            if of_it:
                rows.append([f"{rate:,}", contender.label, *_percentiles(contender, of_it)])
    return Figures(
        "Latency",
        "Milliseconds from the producer's timestamp to the database commit, as PostgreSQL recorded "
        "it (`track_commit_timestamp`). The timestamp is in whole milliseconds, so that each "
        "figure is too high by up to one. Who has not committed all records two seconds after the "
        "last one does not keep up.",
        ("records/s", "design", "p50, ms", "p99, ms", "p99.9, ms"),
        rows,
        "latency",
    )


def _percentiles(contender: Contender, of_it: Samples) -> list[str]:
    if all(s["keeps_up"] for s in of_it):
        return [_shown(spread(of_it, name)) for name in ("p50", "p99", "p999")]
    late = sum(not s["keeps_up"] for s in of_it)
    if late == len(of_it):
        return ["does not keep up", "", ""]
    return [f"keeps up in {len(of_it) - late} rounds", "", ""]


def growth(samples: Samples) -> Figures:
    """The rate, by rows in the log already."""
    rows = []
    for ids in ("sequential", "random"):
        for count in sorted({s["rows"] for s in where(samples, ids=ids)}):
            of_it = where(samples, ids=ids, rows=count)
            names = (
                "empty_rate",
                "grown_rate",
                "ratio",
                "grown_postgres_cpu",
                "rate_after_checkpoint",
            )
            shown = (_shown(spread(of_it, name)) or "not measured" for name in names)
            rows.append([ids, f"{count:,}", *shown])
    return Figures(
        "Growth",
        "The worker's rate into a log that holds so many rows, and into an empty one, in "
        "alternation: the ratio is of each pair. The last column is the rate right after a "
        "checkpoint, once. PostgreSQL is set as one sets it for such a log.",
        (
            "order ids",
            "rows in the log",
            "records/s, empty",
            "records/s, grown",
            "ratio",
            "PostgreSQL, CPU s a million",
            "records/s after a checkpoint",
        ),
        rows,
        "growth",
    )


def lookups(samples: Samples) -> Figures:
    """The history's time, by rows in the log."""
    rows = []
    for s in sorted(samples, key=lambda s: (s["ids"] == "random", s["rows"])):
        times = [
            f"{s[f'{name}_ms']:.1f} (max {s[f'{name}_max_ms']:.1f})"
            for name in ("order", "window", "order_command", "window_command")
        ]
        rows.append([s["ids"], f"{s['rows']:,}", *times])
    return Figures(
        "Looking into the log",
        "Milliseconds, median and maximum: the query on a connection that is there, then the whole "
        "command with the start of Python.",
        (
            "order ids",
            "rows in the log",
            "an order",
            "100 rows of a window of time",
            "`delivery history ORDER_ID`",
            "`delivery history --since --until`",
        ),
        rows,
        "lookups",
    )


def workers(samples: Samples) -> Figures:
    """Rate and cost by number of workers."""
    rows = []
    for number in sorted({s["workers"] for s in samples}):
        of_it = where(samples, workers=number)
        names = ("rate", "process_cpu", "postgres_cpu")
        rows.append([str(number), *(_shown(spread(of_it, name)) for name in names)])
    return Figures(
        "Several workers",
        "On four partitions. The clock starts when the records become visible to workers that wait "
        "for them. CPU seconds for a million records, of all workers together.",
        ("workers", "records/s", "workers, CPU s", "PostgreSQL, CPU s"),
        rows,
        "workers",
    )


def by_stage(samples: Samples) -> dict[str, Spread]:
    """Microseconds a record of each stage of the profile, the longest first."""
    names = dict.fromkeys(s["stage"] for s in samples if "stage" in s)
    found = {name: spread(where(samples, stage=name), "microseconds") for name in names}
    times = [(name, time) for name, time in found.items() if time]
    return dict(sorted(times, key=lambda pair: -pair[1].median))


def profile(samples: Samples) -> Figures:
    """Microseconds a record."""
    stages = by_stage(samples)
    if not stages:
        failure = samples[0]["failure"]
        return Figures("Profile", f"py-spy could not look into the worker: {failure}", (), ())
    total = sum(time.median for time in stages.values())
    rows = [[name, str(time), f"{time.median / total:.0%}"] for name, time in stages.items()]
    return Figures(
        f"Profile of {WORKER.label}",
        "The worker's loop as py-spy sees it 100 times a second, with its waits for the servers: "
        "microseconds a record. py-spy slows it down a little.",
        ("stage", "microseconds a record", "share"),
        rows,
        "profile",
    )


def _shown(found: Spread | None) -> str:
    return "" if found is None else str(found)
