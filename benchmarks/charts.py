"""Charts as PNG. Bars differ by hatching and lines by marker: they need no colour."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.contenders import ALL, DESIGNS
from benchmarks.figures import by_stage, where
from benchmarks.parts import Samples
from benchmarks.spread import Spread, spread

HATCHES = ("", "///", "...", "xxx", "ooo")
GREYS = ("0.35", "0.85", "0.95", "0.7", "1.0")
MARKERS = ("o", "s", "^", "D", "v")
LINES = ("-", "--", ":", "-.", "-")

STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "hatch.linewidth": 0.6,
}


def draw(parts: Mapping[str, Mapping[str, Any]], folder: Path) -> list[str]:
    """Draws all that the parts have figures for. Returns the names of the charts."""
    samples = {name: part["samples"] for name, part in parts.items()}
    growing = [*samples.get("growth-sequential", []), *samples.get("growth-random", [])]
    ratios = [s for s in growing if "ratio" in s]
    times = [s for s in growing if "order_ms" in s]
    stages = [s for s in samples.get("profile", []) if "stage" in s]
    charts: dict[str, tuple[Callable[[Axes, Samples], None], Samples]] = {
        "throughput": (_throughput, samples.get("throughput", [])),
        "cost": (_cost, samples.get("throughput", [])),
        "latency": (_latency, [s for s in samples.get("latency", []) if s["keeps_up"]]),
        "growth": (_growth, ratios),
        "lookups": (_lookups, times),
        "workers": (_workers, samples.get("workers", [])),
        "profile": (_profile, stages),
    }
    drawn = {name: chart for name, chart in charts.items() if chart[1]}
    for name, (chart, found) in drawn.items():
        with _saved(folder / name) as axes:
            chart(axes, found)
    return list(drawn)


@contextmanager
def _saved(path: Path) -> Iterator[Axes]:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7, 3.6), layout="constrained")
        yield figure.subplots()
        # The same figures make the same file.
        figure.savefig(path.with_suffix(".png"), dpi=150, metadata={"Software": None})


def _throughput(axes: Axes, samples: Samples) -> None:
    rates = {c.label: spread(where(samples, contender=c.name), "rate") for c in ALL}
    _bars(axes, {label: rate for label, rate in rates.items() if rate}, "{:,.0f}")
    axes.set_xscale("log")
    axes.set_xlabel("records/s (logarithmic), median, minimum and maximum")


def _bars(axes: Axes, bars: Mapping[str, Spread], format_: str) -> None:
    """Horizontal bars from the top down, each with its value and a whisker."""
    for row, (label, s) in enumerate(bars.items()):
        whisker = [[s.median - s.low], [s.high - s.median]]
        axes.barh([label], [s.median], xerr=whisker, capsize=3, **_bar(row))
        axes.annotate(
            format_.format(s.median), (s.high, row), (6, 0), textcoords="offset points", va="center"
        )
    axes.invert_yaxis()
    axes.margins(x=0.15)


def _cost(axes: Axes, samples: Samples) -> None:
    designs = [c for c in ALL if where(samples, contender=c.name)]
    ends = [0.0] * len(designs)
    names = {"process": "the process", "postgres": "PostgreSQL", "redis": "Redis"}
    for row, (name, label) in enumerate(names.items()):
        found = [spread(where(samples, contender=c.name), f"{name}_cpu") for c in designs]
        lengths = [s.median if s else 0.0 for s in found]
        axes.barh([c.label for c in designs], lengths, left=ends, label=label, **_bar(row))
        ends = [end + length for end, length in zip(ends, lengths, strict=True)]
    for row, end in enumerate(ends):
        axes.annotate(f"{end:,.0f}", (end, row), (6, 0), textcoords="offset points", va="center")
    axes.invert_yaxis()
    axes.set_xlim(right=max(ends) * 1.15)
    axes.set_xlabel("CPU seconds for a million records, medians")
    axes.legend(loc="best")


def _latency(axes: Axes, samples: Samples) -> None:
    for row, contender in enumerate(DESIGNS):
        for name, line in (("p50", LINES[0]), ("p99", LINES[1])):
            of_it = where(samples, contender=contender.name)
            rates = sorted({s["rate"] for s in of_it})
            found = [s for rate in rates if (s := spread(where(of_it, rate=rate), name))]
            label = f"{contender.label}, {name}"
            axes.errorbar(rates, [s.median for s in found], _whiskers(found), capsize=3,
                          label=label, **_line(row, line))  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("records/s produced (logarithmic)")
    axes.set_ylabel("ms to the database commit (log.)")
    _grid(axes)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))


def _growth(axes: Axes, samples: Samples) -> None:
    for row, (ids, target) in enumerate((("sequential", 0.9), ("random", 0.8))):
        of_it = where(samples, ids=ids)
        counts = sorted({s["rows"] for s in of_it})
        found = [s for count in counts if (s := spread(where(of_it, rows=count), "ratio"))]
        axes.errorbar([count / 1e6 for count in counts], [s.median for s in found],
                      _whiskers(found), capsize=3, label=f"{ids} order ids",
                      **_line(row, LINES[row]))  # fmt: skip
        axes.axhline(target, color="0.6", linewidth=0.8, linestyle=LINES[row])
        axes.annotate(f"target, {ids}: {target}", (1, target), (0, 2), fontsize=8, ha="right",
                      xycoords=("axes fraction", "data"), textcoords="offset points")  # fmt: skip
    axes.set_ylim(bottom=0)
    axes.set_xlabel("million rows in the log already")
    axes.set_ylabel("rate, as a share of the empty log's")
    axes.legend(loc="lower left")


def _lookups(axes: Axes, samples: Samples) -> None:
    names = {"order": "an order", "window": "100 rows of a window"}
    for row, ids in enumerate(("sequential", "random")):
        of_it = sorted(where(samples, ids=ids), key=lambda s: s["rows"])
        for line, (name, label) in zip(LINES, names.items(), strict=False):
            axes.plot([s["rows"] / 1e6 for s in of_it], [s[f"{name}_ms"] for s in of_it],
                      label=f"{label}, {ids} ids", **_line(row, line))  # fmt: skip
    axes.set_ylim(bottom=0)
    axes.set_xlabel("million rows in the log")
    axes.set_ylabel("ms for the query, median")
    _grid(axes)
    axes.legend(fontsize=8)


def _workers(axes: Axes, samples: Samples) -> None:
    rates = {
        f"{number} worker{'s' if number > 1 else ''}": spread(
            where(samples, workers=number), "rate"
        )
        for number in sorted({s["workers"] for s in samples})
    }
    _bars(axes, {label: rate for label, rate in rates.items() if rate}, "{:,.0f}")
    axes.set_xlabel("records/s on four partitions, median, minimum and maximum")


def _profile(axes: Axes, samples: Samples) -> None:
    _bars(axes, by_stage(samples), "{:.1f}")
    axes.set_xlabel("microseconds a record, waits included; median, minimum and maximum")


def _bar(row: int) -> dict[str, Any]:
    return {"color": GREYS[row % 5], "hatch": HATCHES[row % 5], "edgecolor": "black"}


def _line(row: int, style: str) -> dict[str, Any]:
    return {"marker": MARKERS[row], "linestyle": style, "color": f"{row * 0.3:.1f}"}


def _whiskers(found: list[Spread]) -> list[list[float]]:
    return [[s.median - s.low for s in found], [s.high - s.median for s in found]]


def _grid(axes: Axes) -> None:
    axes.grid(axis="y", color="0.85", linewidth=0.6)
