"""The dashboard and the alerts against the metrics that a worker really has."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import deployment
import pytest
from deployment import FOLDER
from prometheus_client import CollectorRegistry

from delivery.domain.vocabulary import REASONS
from delivery.monitoring.announcing import AnnouncerMetrics
from delivery.monitoring.metrics import AGE_BUCKETS_S, OUTCOME_LABELS, Metrics

DASHBOARD: dict[str, Any] = json.loads((FOLDER / "grafana/delivery.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
DRAWN = [panel for panel in PANELS if panel["type"] != "row"]
RULES: list[dict[str, Any]] = [
    rule
    for (document,) in [deployment.documents("prometheus/alerts.yaml")]
    for group in document["groups"]
    for rule in group["rules"]
]
QUERIES = [target["expr"] for panel in DRAWN for target in panel["targets"]]
CONDITIONS = [rule["expr"] for rule in RULES]
MARKS = [mark["expr"] for mark in DASHBOARD["annotations"]["list"] if "expr" in mark]
EXPRESSIONS = [*QUERIES, *MARKS, *CONDITIONS]

# Prometheus' own for each target, and for each alert.
ITS_OWN = {"up"}

# No worker has them: the dashboard's choice of workers would leave them out.
ONLY_ANNOUNCERS = {
    "delivery_announcements_total",
    "delivery_announcer_active",
    "delivery_announcer_retries_total",
    "delivery_outbox_age_seconds",
    "delivery_outbox_rows",
}


def exported() -> dict[str, set[str]]:
    """The names of the series that a worker exports, by the metric that they belong to."""
    metrics = Metrics(lambda: {("OrderCreateEvent", 0): 1})
    metrics.polled()
    metrics.dead_letters({})
    return series(metrics.registry)


def series(registry: CollectorRegistry) -> dict[str, set[str]]:
    """The names of the series, by metric."""
    return {
        metric.name: {sample.name for sample in metric.samples} for metric in registry.collect()
    }


OF_AN_ANNOUNCER = series(AnnouncerMetrics().registry)
SERIES = {name for of in (exported(), OF_AN_ANNOUNCER) for names in of.values() for name in names}
NAME = re.compile(r"\b(?:(?:delivery|process|python)_\w+|up)\b")


def named(expression: str) -> set[str]:
    """The series that an expression reads."""
    return set(NAME.findall(re.sub(r'"[^"]*"', '""', expression)))


def as_prometheus_gets_it(expression: str) -> str:
    """Grafana puts in what begins with a dollar."""
    return re.sub(r"\$__(rate_interval|range)", "5m", expression)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_reads_series_that_there_are(expression: str) -> None:
    assert named(expression)
    assert named(expression) <= SERIES | ITS_OWN


def test_the_dashboard_shows_every_metric_of_ours() -> None:
    shown = {name for query in QUERIES for name in named(query)}
    everything = exported() | OF_AN_ANNOUNCER
    ours = {name: of for name, of in everything.items() if name.startswith("delivery_")}
    assert len(ours) > 15
    assert [name for name, of in ours.items() if not of & shown] == []


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_is_promql(expression: str) -> None:
    promql = pytest.importorskip("promql_parser", reason="parses PromQL as Prometheus does")
    promql.parse(as_prometheus_gets_it(expression))


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_outcome_that_is_asked_for_exists(expression: str) -> None:
    wanted = re.findall(r'outcome(?:=|!=|=~|!~)"([^"]*)"', expression)
    assert {outcome for text in wanted for outcome in text.split("|")} <= set(OUTCOME_LABELS)


# The dashboard


def test_each_panel_says_what_it_shows_and_in_which_unit() -> None:
    for panel in DRAWN:
        assert panel["title"]
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        legends = [target["legendFormat"] for target in panel["targets"]]
        assert all(legends) or panel["type"] == "stat", panel["title"]
        assert len(set(legends)) == len(legends)


def test_each_query_goes_to_the_chosen_source_and_workers() -> None:
    for panel in DRAWN:
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"]
            names = NAME.findall(re.sub(r'"[^"]*"', '""', target["expr"]))
            chosen = target["expr"].count('{job=~"$job", instance=~"$instance"')
            assert chosen == (0 if set(names) <= ONLY_ANNOUNCERS else len(names))


def test_each_variable_that_is_used_is_one_to_choose() -> None:
    known = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    text = json.dumps([PANELS, DASHBOARD["annotations"], DASHBOARD["templating"]])
    used = set(re.findall(r"\$\{?(\w+)", text)) - {"__rate_interval", "__range", "__all"}
    assert used == known


def test_the_panels_lie_beside_each_other() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for panel in PANELS:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
    assert [(a["title"], b["title"]) for a, b in combinations(PANELS, 2) if overlap(a, b)] == []


def overlap(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return not any(
        one["gridPos"][side] + one["gridPos"][length] <= other["gridPos"][side]
        for side, length in (("x", "w"), ("y", "h"))
        for one, other in ((a, b), (b, a))
    )


def test_grafana_finds_dashboard_and_source_where_compose_puts_them() -> None:
    grafana = deployment.compose()["services"]["grafana"]
    mounted = dict(volume.removesuffix(":ro").split(":") for volume in grafana["volumes"])
    (providers,) = deployment.documents("grafana/provisioning/dashboards/delivery.yaml")
    folder = providers["providers"][0]["options"]["path"]
    assert mounted["./grafana/delivery.json"] == f"{folder}/delivery.json"
    (sources,) = deployment.documents("grafana/provisioning/datasources/prometheus.yaml")
    (source,) = sources["datasources"]
    (config,) = deployment.documents("prometheus/prometheus.yml")
    assert source["jsonData"]["timeInterval"] == config["global"]["scrape_interval"]
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in deployment.compose()["services"]


# The alerts


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_is_wrong_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"]
    assert len(rule["annotations"]["runbook"].splitlines()) >= 4


def test_each_alert_has_a_name_of_its_own_and_is_known_by_it() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    told = {
        name for text in deployment.TEXTS.values() for name in re.findall(r"Delivery[A-Z]\w+", text)
    }
    assert told <= set(names)


def test_alerts_watch_the_job_that_prometheus_scrapes() -> None:
    (config,) = deployment.documents("prometheus/prometheus.yml")
    jobs = [job["job_name"] for job in config["scrape_configs"]]
    watched = {name for text in CONDITIONS for name in re.findall(r'job="([^"]*)"', text)}
    assert watched == {"delivery-worker"} <= set(jobs)
    assert config["rule_files"] == ["alerts.yaml"]


def test_the_age_that_calls_somebody_is_a_bound_of_a_bucket() -> None:
    (age,) = (rule["expr"] for rule in RULES if rule["alert"] == "DeliveryEventAgeHigh")
    assert int(age.rpartition("> ")[2]) in AGE_BUCKETS_S  # between two, Prometheus guesses


def reasons() -> Iterator[str]:
    for rule in RULES:
        yield from re.findall(r"\b[a-z]+_[a-z_]*time\b", rule["annotations"]["runbook"])


def test_a_reason_that_a_runbook_names_exists() -> None:
    assert set(reasons())
    assert set(reasons()) <= set(REASONS)


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("promtool") is None:
        pytest.skip("there is no promtool on this machine (Debian: the package prometheus)")
    return subprocess.run(
        ["promtool", *arguments],
        cwd=FOLDER / "prometheus",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_prometheus_accepts_the_configuration() -> None:
    checked = promtool("check", "config", "prometheus.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_each_alert_fires_when_it_should_and_is_silent_when_it_should() -> None:
    tested = promtool("test", "rules", "alerts.test.yaml")
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_each_alert_is_seen_to_fire() -> None:
    (tests,) = deployment.documents("prometheus/alerts.test.yaml")
    cases = [case for test in tests["tests"] for case in test["promql_expr_test"]]
    fired = {
        name
        for c in cases
        if c["exp_samples"]
        for name in re.findall(r'alertname="(\w+)"', c["expr"])
    }
    assert fired == {rule["alert"] for rule in RULES}
