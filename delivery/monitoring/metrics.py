"""A worker's figures for Prometheus. Their names are public: the README lists them."""

import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import prometheus_client
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

from delivery import __version__
from delivery.domain.record import Partition, Record
from delivery.domain.vocabulary import OUTCOMES, REASONS
from delivery.inbox.transaction import BatchResult

Lags = Mapping[Partition, int]

OUTCOME_LABELS = (*OUTCOMES, "redelivered")

LAG_INTERVAL_S = 1.0

# Upper bounds of the histograms' buckets.
RECORDS_BUCKETS = (1, 10, 50, 100, 500, 1000, 2000, 5000, 10_000, 50_000, 100_000)
DURATION_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25)
AGE_BUCKETS_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 6 * 3600, 24 * 3600)

# Otherwise each counter has a gauge beside it, and one would be named delivery_records_created.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]


@dataclass
class Metrics:
    """The recorder of a worker that Prometheus watches. Only the worker's thread calls its methods.

    `lags` returns how many records each partition is behind, without a request.
    """

    lags: Callable[[], Lags]
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    last_heartbeat: float = field(default_factory=time.monotonic)  # or poll
    _polled: float = field(default_factory=time.monotonic)  # when the last poll returned
    _lag_due: float = 0.0
    _lagging: frozenset[Partition] = frozenset()

    def __post_init__(self) -> None:
        self._make_counters()
        self._make_histograms()
        self._make_gauges()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def _make_counters(self) -> None:
        counter = partial(Counter, registry=self.registry)
        records = counter("delivery_records", "Records by what became of them.", ["outcome"])
        # All from the start: a series that begins at 0 shows its first rise too.
        self._records = {outcome: records.labels(outcome) for outcome in OUTCOME_LABELS}
        self._retries = counter(
            "delivery_database_retries", "Batches put back because the database was unavailable."
        )
        self._races = counter(
            "delivery_races", "Batches decided again because somebody wrote in between."
        )
        self._lacked = counter(
            "delivery_records_missing_from_log",
            "Records below the committed offsets that the log lacked, and that were read again.",
        )
        self._lost = counter(
            "delivery_records_lost_to_retention",
            "Records that retention deleted before they were read.",
        )

    def _make_histograms(self) -> None:
        histogram = partial(Histogram, registry=self.registry)
        self._batch_records = histogram(
            "delivery_batch_records", "Records in a batch.", buckets=RECORDS_BUCKETS
        )
        self._batch_duration = histogram(
            "delivery_batch_duration_seconds",
            "From the poll's return to the database commit.",
            buckets=DURATION_BUCKETS_S,
        )
        self._event_age = histogram(
            "delivery_event_age_seconds",
            "Age of a batch's oldest record at the database commit, by the records' timestamps.",
            buckets=AGE_BUCKETS_S,
        )

    def _make_gauges(self) -> None:
        gauge = partial(Gauge, registry=self.registry)
        self._lag = gauge(
            "delivery_lag_records",
            "Records behind the end of each partition that this worker reads.",
            ["topic", "partition"],
        )
        self._letters = gauge(
            "delivery_dead_letters_unresolved",
            "Dead letters that nobody has resolved, as last read from the database.",
            ["reason"],
        )
        turned = gauge("delivery_last_loop_timestamp_seconds", "When the loop last turned.")
        turned.set_function(lambda: time.time() - (time.monotonic() - self.last_heartbeat))
        gauge("delivery_build_info", "Which version this is.", ["version"]).labels(__version__).set(
            1
        )

    def polled(self) -> None:
        """Notes the time, and about once a second the lag of the partitions."""
        self.last_heartbeat = self._polled = time.monotonic()
        if self._polled >= self._lag_due:
            self._lag_due = self._polled + LAG_INTERVAL_S
            self._set_lags(self.lags())

    def heartbeat(self) -> None:
        """Notes the time."""
        self.last_heartbeat = time.monotonic()

    def result(self, result: BatchResult) -> None:
        """Counts the records by outcome, and the races before the commit."""
        for outcome, records in self._records.items():
            if result.outcomes[outcome]:
                records.inc(result.outcomes[outcome])
        self._races.inc(result.races)

    def batch(self, batch: Sequence[Record]) -> None:
        """Observes the number of records, how long they took, and their age."""
        self._batch_duration.observe(time.monotonic() - self._polled)
        self._batch_records.observe(len(batch))
        if times := [record.time for record in _oldest(batch) if record.time]:
            age = (datetime.now(UTC) - min(times)).total_seconds()
            self._event_age.observe(max(0.0, age))  # clocks differ

    def retry(self) -> None:
        """Counts it."""
        self._retries.inc()

    def lost(self, records: int) -> None:
        """Counts them."""
        self._lost.inc(records)

    def lacked(self, records: int) -> None:
        """Counts them."""
        self._lacked.inc(records)

    def dead_letters(self, unresolved: Mapping[str, int]) -> None:
        """Sets the number for each reason, also to 0. Any thread may call this."""
        for reason in REASONS:
            self._letters.labels(reason).set(unresolved.get(reason, 0))

    def _set_lags(self, lags: Lags) -> None:
        for revoked in self._lagging - lags.keys():
            self._lag.remove(*revoked)
        for partition, lag in lags.items():
            self._lag.labels(*partition).set(lag)
        self._lagging = frozenset(lags)


def _oldest(batch: Sequence[Record]) -> Iterator[Record]:
    """The first record of each partition.

    A poll's records are ordered. To look at all of them would take longer than all the counting.
    """
    start = 0
    while start < len(batch):
        yield batch[start]
        start = bisect_right(batch, _partition(batch[start]), lo=start, key=_partition)


def _partition(record: Record) -> Partition:
    return record.topic, record.partition
