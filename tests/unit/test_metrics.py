"""A worker's figures, its health, and the endpoints that tell them, without a server."""

import json
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from delivery import settings
from delivery.domain.record import Record
from delivery.errors import NotMigratedError, SettingsError, UnavailableError
from delivery.inbox.transaction import BatchResult
from delivery.monitoring import endpoints, health
from delivery.monitoring.metrics import Lags, Metrics
from delivery.monitoring.single_flight import SingleFlight

# They are settled: dashboards and alerts name them.
NAMES = {
    "delivery_records_total": "counter",
    "delivery_batch_records": "histogram",
    "delivery_batch_duration_seconds": "histogram",
    "delivery_event_age_seconds": "histogram",
    "delivery_lag_records": "gauge",
    "delivery_database_retries_total": "counter",
    "delivery_races_total": "counter",
    "delivery_records_missing_from_log_total": "counter",
    "delivery_dead_letters_unresolved": "gauge",
    "delivery_records_lost_to_retention_total": "counter",
    "delivery_last_loop_timestamp_seconds": "gauge",
    "delivery_build_info": "gauge",
}


def record(partition: int, offset: int, age: float | None = 0.0) -> Record:
    at = None if age is None else datetime.now(UTC) - timedelta(seconds=age)
    return Record("orders", partition, offset, at, None, None, [])


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(dict)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


# Figures


def test_the_names_and_kinds_are_those_that_were_settled(metrics: Metrics) -> None:
    families = {
        family.name + ("_total" if family.type == "counter" else ""): family.type
        for family in metrics.registry.collect()
    }
    ours = {name: kind for name, kind in families.items() if name.startswith("delivery_")}
    assert ours == NAMES


@pytest.mark.parametrize(
    "outcome",
    ["created", "updated", "too_late", "stale", "duplicate", "conflict", "rejected", "redelivered"],
)
def test_each_outcome_is_shown_from_the_start_and_counted(metrics: Metrics, outcome: str) -> None:
    assert value(metrics, "delivery_records_total", outcome=outcome) == 0
    for records in (3, 4):
        metrics.result(BatchResult(Counter({outcome: records}), []))
    assert value(metrics, "delivery_records_total", outcome=outcome) == 7


def test_what_happens_is_counted(metrics: Metrics) -> None:
    metrics.result(BatchResult(Counter(), [], races=0))
    metrics.result(BatchResult(Counter(), [], races=3))
    metrics.retry()
    metrics.retry()
    metrics.lost(0)
    metrics.lost(5)
    assert value(metrics, "delivery_races_total") == 3
    assert value(metrics, "delivery_database_retries_total") == 2
    assert value(metrics, "delivery_records_lost_to_retention_total") == 5


@pytest.mark.parametrize(
    ("batch", "age"),
    [
        ([(0, 7, 5)], 5),
        # The first of each partition is its oldest, and the older of these counts.
        ([(0, 7, 5), (0, 8, 4), (1, 1, 9), (1, 2, 8), (3, 1, 1)], 9),
        ([(0, 7, None), (1, 1, 3)], 3),
        ([(0, 7, -100)], 0),
    ],
    ids=["one", "three partitions", "one without a time", "a clock that is ahead"],
)
def test_the_age_of_a_batch_is_that_of_its_oldest_record(
    metrics: Metrics, batch: list[tuple[int, int, float | None]], age: float
) -> None:
    metrics.batch([record(*place_and_age) for place_and_age in batch])
    assert value(metrics, "delivery_event_age_seconds_count") == 1
    told = value(metrics, "delivery_event_age_seconds_sum")
    assert told == pytest.approx(age, abs=2)
    assert (told == 0) == (age == 0)


def test_a_batch_whose_records_have_no_time_has_no_age(metrics: Metrics) -> None:
    metrics.batch([record(0, 7, None)])
    assert value(metrics, "delivery_event_age_seconds_count") == 0
    assert value(metrics, "delivery_batch_records_count") == 1


def test_a_partition_that_was_taken_away_is_shown_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    lags: Lags = {("orders", 0): 5, ("orders", 1): 6}
    metrics = Metrics(lambda: lags)
    metrics.polled()
    assert value(metrics, "delivery_lag_records", topic="orders", partition="1") == 6
    lags = {("orders", 0): 7}
    metrics.polled()  # not yet: it is looked at once a second
    assert value(metrics, "delivery_lag_records", topic="orders", partition="0") == 5
    now += 1
    metrics.polled()
    assert value(metrics, "delivery_lag_records", topic="orders", partition="0") == 7
    assert value(metrics, "delivery_lag_records", topic="orders", partition="1") is None


def test_every_reason_of_a_dead_letter_is_shown_once_they_were_read(metrics: Metrics) -> None:
    name = "delivery_dead_letters_unresolved"
    assert value(metrics, name, reason="not_json") is None
    metrics.dead_letters({"not_json": 2})
    assert value(metrics, name, reason="not_json") == 2
    assert value(metrics, name, reason="tombstone") == 0
    metrics.dead_letters({})
    assert value(metrics, name, reason="not_json") == 0


def test_a_poll_and_the_progress_of_a_batch_are_signs_of_life(
    metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    for sign in (metrics.polled, metrics.heartbeat):
        metrics.last_heartbeat = time.monotonic() - 100
        shown = value(metrics, "delivery_last_loop_timestamp_seconds")
        assert shown == pytest.approx(time.time() - 100, abs=1)
        sign()
        shown = value(metrics, "delivery_last_loop_timestamp_seconds")
        assert shown == pytest.approx(time.time(), abs=1)


# Health


@pytest.mark.parametrize(("silent", "green"), [(0, True), (24, True), (26, False), (900, False)])
def test_a_loop_is_stuck_when_it_has_not_turned_for_25_seconds(silent: float, green: bool) -> None:
    (why,) = health.health(time.monotonic() - silent).values()
    assert why == (None if green else f"it has not turned for {silent} s")


def failing(error: Exception) -> SingleFlight[None]:
    def fail() -> None:
        raise error

    return SingleFlight(fail)


READY: SingleFlight[None] = SingleFlight(lambda: None)


@pytest.mark.parametrize(
    ("absent", "schema", "red"),
    [
        (None, READY, {}),
        ("not joined", READY, {"group": "not joined"}),
        (None, failing(NotMigratedError("run it")), {"schema": "run it"}),
        (
            "not joined",
            failing(UnavailableError("away\nHINT: look")),
            {
                "group": "not joined",
                "database": "away",
                "schema": "not known without the database",
            },
        ),
    ],
    ids=["ready", "no group", "no schema", "nothing"],
)
def test_readiness_tells_each_check_that_is_red(
    absent: str | None, schema: SingleFlight[None], red: dict[str, str]
) -> None:
    checks = health.readiness(absent, schema)
    assert list(checks) == ["group", "database", "schema"]
    assert {name: why for name, why in checks.items() if why} == red


def test_a_call_without_a_result_is_given_up_and_never_made_twice_at_once() -> None:
    asked, release = [], threading.Event()

    def ask() -> int:
        asked.append(threading.current_thread())
        release.wait(30)
        return 7

    flight = SingleFlight(ask)
    for _ in range(3):
        with pytest.raises(UnavailableError, match=r"no answer within 0\.01 s"):
            flight.result(0.01)
    assert len(asked) == 1
    release.set()
    assert flight.result(30) == 7
    asked[0].join(30)
    assert flight.result(30) == 7
    assert len(asked) == 2


def test_dead_letters_are_read_every_15_seconds_and_kept_while_the_database_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, shown = 1000.0, list[dict[str, int]]()
    answers: list[dict[str, int] | Exception] = [{"a": 1}, UnavailableError("away"), {"a": 2}]

    def ask() -> dict[str, int]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(health.time, "monotonic", lambda: now)
    letters = health.UnresolvedLetters(SingleFlight(ask), shown.append)
    for after, expected in [(0, [1]), (14, [1]), (1, [1]), (14, [1]), (1, [1, 2])]:
        now += after
        letters.refresh()
        assert [answer["a"] for answer in shown] == expected


# Endpoints


def get(app: Any, path: str, method: str = "GET") -> tuple[str, str]:
    statuses: list[str] = []

    def start(status: str, _headers: Any) -> None:
        statuses.append(status)

    body = app({"PATH_INFO": path, "REQUEST_METHOD": method}, start)
    return statuses[0], b"".join(body).decode()


APP = endpoints.application(
    {
        "/green": endpoints.checked(lambda: {"one": None, "two": None}),
        "/red": endpoints.checked(lambda: {"one": None, "two": "it is broken"}),
    }
)


def test_an_endpoint_is_green_where_all_its_checks_are() -> None:
    status, body = get(APP, "/green")
    assert status == "200 OK"
    assert json.loads(body) == {"ok": True, "checks": {"one": {"ok": True}, "two": {"ok": True}}}


def test_an_endpoint_says_which_check_is_red_and_why() -> None:
    status, body = get(APP, "/red")
    assert status == "503 Service Unavailable"
    assert json.loads(body) == {
        "ok": False,
        "checks": {"one": {"ok": True}, "two": {"ok": False, "why": "it is broken"}},
    }


@pytest.mark.parametrize("path", ["/", "/green/", "/metrics"])
def test_another_path_is_answered_with_the_list(path: str) -> None:
    assert get(APP, path) == ("404 Not Found", "There are:\n/green\n/red\n")


def test_nothing_can_be_posted() -> None:
    assert get(APP, "/green", "POST")[0] == "405 Method Not Allowed"


# Settings


def test_there_are_no_endpoints_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DELIVERY_METRICS_PORT", "")
    monkeypatch.delenv("DELIVERY_METRICS_HOST", raising=False)
    loaded = settings.load(settings.MonitoringSettings)
    assert (loaded.metrics_port, loaded.metrics_host) == (None, "127.0.0.1")


@pytest.mark.parametrize("port", ["0", "-1", "65536", "http", "9464.5"])
def test_a_port_that_is_none_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    monkeypatch.setenv("DELIVERY_METRICS_PORT", port)
    with pytest.raises(SettingsError, match=r"^DELIVERY_METRICS_PORT [^\n]*$"):
        settings.load(settings.MonitoringSettings)
