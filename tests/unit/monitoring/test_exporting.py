"""What others load: Prometheus' text, its rules with unit tests of its own, Grafana's dashboard."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stretto.contexts.monitoring.adapters.rule_files import read_rules
from stretto.contexts.monitoring.collector import MetricsCollector, memory_page
from stretto.contexts.monitoring.dashboards import DASHBOARD, DashboardGenerator
from stretto.contexts.monitoring.definitions import METRICS
from stretto.contexts.monitoring.exporting import alert_name, prometheus_rules, recorded_figures
from stretto.contexts.monitoring.feeding import HttpFeed
from stretto.contexts.monitoring.prometheus import exposition, name_of
from stretto.contexts.monitoring.reading import Reading

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
SAMPLE = re.compile(r'^(\w+)(?:\{((?:\w+="[^"\\\n]*",?)+)\})? (\S+)$')

UNIT_TESTS = """
rule_files: [rules.yml]
evaluation_interval: 10s
tests:
  - interval: 10s
    input_series:
      - series: 'stretto_queue_dead_letters{instance="a", job="stretto"}'
        values: '0x5 2x20'
      - series: 'stretto_queue_dead_letters{instance="b", job="stretto"}'
        values: '0x5 2x20'
      - series: 'stretto_gateway_breakers_open{instance="a", job="stretto"}'
        values: '0x30'
      - series: 'stretto_machine_disk_free_ratio{instance="a", job="stretto"}'
        values: '0.5x9 0.01x20'
      - series: 'stretto_queue_oldest_seconds{priority="low", instance="a", job="stretto"}'
        values: '0x9 900x20'
      - series: 'stretto_processing_chunks_total{outcome="computed", instance="a", job="stretto"}'
        values: '0+1x60'
      - series: 'stretto_processing_chunks_total{outcome="failed", instance="a", job="stretto"}'
        values: '0x29 0+1x30'
    alert_rule_test:
      - eval_time: 30s
        alertname: StrettoDeadLetters
      - eval_time: 2m
        alertname: StrettoDeadLetters
        exp_alerts:
          - exp_labels: {severity: warning, rule: dead-letters}
            exp_annotations:
              summary: Jobs were given up and wait for somebody.
              description: "Look at them, then try them again or delete them: stretto dlq list"
      - eval_time: 2m
        alertname: StrettoServiceDown
      - eval_time: 100s
        alertname: StrettoQueueWaits
      - eval_time: 4m
        alertname: StrettoErrors
      - eval_time: 10m
        alertname: StrettoErrors
        exp_alerts:
          - exp_labels: {severity: critical, rule: errors}
            exp_annotations:
              summary: More than one chunk in twenty fails; jobs wait, or transcripts have gaps.
              description: "Try it: stretto doctor. Reasons: stretto dlq list and the workers' log."
    promql_expr_test:
      - expr: count(ALERTS{alertname="StrettoDiskNearlyFull", alertstate="firing"})
        eval_time: 3m
        exp_samples: [{labels: '{}', value: 1}]
      - expr: count(ALERTS{alertname="StrettoQueueWaits", alertstate="firing"})
        eval_time: 3m
        exp_samples: [{labels: '{}', value: 1}]
"""


def promtool(*arguments: str, folder: Path, given: str = "") -> None:
    assert PROMTOOL is not None
    answer = subprocess.run(
        [PROMTOOL, *arguments],
        check=False,
        cwd=folder,
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def busy() -> Reading:
    """As of a process in which everything was recorded."""
    collector = MetricsCollector(memory_page())
    for definition in METRICS:
        make: Any = getattr(collector, definition.kind.value)
        values = {label: words[0] for label, words in definition.labels.items()}
        instrument = make(definition.name.value, **values)
        {
            "counter": lambda i: i.add(2.5),
            "gauge": lambda i: i.set(3),
            "timer": lambda i: i.record(0.2),
        }[definition.kind.value](instrument)
    return collector.reading()


def samples(text: str) -> Iterator[tuple[str, str, float]]:
    for line in text.splitlines():
        if not line.startswith("#"):
            found = SAMPLE.match(line)
            assert found, line
            yield found[1], found[2] or "", float(found[3])


@needs_promtool
@pytest.mark.parametrize("reading", [Reading(), busy()], ids=["nothing", "everything"])
def test_promtool_finds_no_fault_with_what_is_scraped(tmp_path: Path, reading: Reading) -> None:
    promtool("check", "metrics", folder=tmp_path, given=exposition(reading))


@needs_promtool
def test_promtool_takes_the_rules_and_they_fire_as_they_are_meant_to(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(prometheus_rules(read_rules("")))
    (tmp_path / "tests.yml").write_text(UNIT_TESTS)
    promtool("check", "rules", "--lint-fatal", "rules.yml", folder=tmp_path)
    promtool("test", "rules", "tests.yml", folder=tmp_path)


@needs_promtool
def test_a_rule_with_hostile_words_is_still_a_rule_file(tmp_path: Path) -> None:
    rule = replace(read_rules("")[0], summary='{{ $x }} "\n- alert: y', action="{{")
    (tmp_path / "rules.yml").write_text(prometheus_rules([rule]))
    promtool("check", "rules", "rules.yml", folder=tmp_path)


def test_there_is_an_alert_for_each_rule() -> None:
    text = prometheus_rules(read_rules(""))
    assert all(f"alert: {alert_name(rule.name)}\n" in text for rule in read_rules(""))


def test_every_metric_is_scraped_from_the_beginning_on() -> None:
    text = exposition(Reading())
    assert all(f"# TYPE {name_of(one)} " in text for one in METRICS)
    counters = [name_of(one) for one in METRICS if one.kind.value == "counter"]
    assert {name for name, _, value in samples(text) if value == 0} >= set(counters)


def test_whatever_clients_ask_for_there_is_no_new_series() -> None:
    collector = MetricsCollector(memory_page())
    feed = HttpFeed(collector)
    before = [(name, labels) for name, labels, _ in samples(exposition(collector.reading()))]
    for number in range(10_000):
        feed.answered(f"/{number}\n{{x}}", number % 700, 0.01)
    text = exposition(collector.reading())
    assert [(name, labels) for name, labels, _ in samples(text)] == before
    assert len(text) < 1_000_000


def test_the_buckets_of_a_histogram_rise_to_its_count() -> None:
    found = [
        value
        for name, labels, value in samples(exposition(busy()))
        if name == "stretto_gateway_latency_seconds_bucket"
    ]
    assert found == sorted(found)
    assert found[-1] == 1


def test_the_dashboard_of_grafana_has_a_panel_for_each_chart_and_a_query_for_each_line() -> None:
    grafana = json.loads(json.dumps(DashboardGenerator().grafana()))
    panels = {p["title"]: p for p in grafana["panels"] if p["type"] == "timeseries"}
    charts = {chart.title: chart for row in DASHBOARD.rows for chart in row.charts}
    assert panels.keys() == charts.keys()
    for title, chart in charts.items():
        assert [t["legendFormat"] for t in panels[title]["targets"]] == [
            n.name for n in chart.lines
        ]
    ids = [panel["id"] for panel in grafana["panels"]]
    assert len(ids) == len(set(ids))


def test_no_two_panels_of_grafana_lie_over_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DashboardGenerator().grafana()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells


@needs_promtool
def test_every_query_of_grafana_is_one_that_prometheus_takes(tmp_path: Path) -> None:
    queries = [
        target["expr"].replace("$__rate_interval", "1m")
        for panel in DashboardGenerator().grafana()["panels"]
        for target in panel.get("targets", [])
    ]
    rules = [f"  - record: x:{n}\n    expr: {json.dumps(q)}" for n, q in enumerate(queries)]
    (tmp_path / "all.yml").write_text("groups:\n- name: g\n  rules:\n" + "\n".join(rules) + "\n")
    promtool("check", "rules", "all.yml", folder=tmp_path)


def test_the_percentiles_of_the_charts_are_recorded() -> None:
    text = prometheus_rules(())
    assert recorded_figures()
    assert all(f"record: {name}\n" in text for name in recorded_figures())
