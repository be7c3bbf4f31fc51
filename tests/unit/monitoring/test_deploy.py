"""What compose.yaml starts: it hangs together, and its files are those that the program exports."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from stretto.contexts.monitoring.adapters.rule_files import read_rules
from stretto.contexts.monitoring.dashboards import DashboardGenerator
from stretto.contexts.monitoring.exporting import prometheus_rules

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
HOW_TO = ROOT / "docs" / "howto" / "monitoring.md"
SERVICES = {
    *("postgres", "cache", "broker", "migrate", "serve", "worker-1", "worker-2"),
    *("flower", "prometheus", "grafana"),
}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


def test_everything_that_a_team_needs_is_started(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == SERVICES


def test_a_service_waits_only_for_those_that_there_are(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        needed = service.get("depends_on", {})
        assert set(needed) <= SERVICES
        for name, terms in needed.items() if isinstance(needed, dict) else ():
            if terms["condition"] == "service_healthy":
                assert "healthcheck" in compose["services"][name]


def test_a_service_is_an_image_with_a_version_or_is_built_here(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        if "build" in service:
            assert (ROOT / service["build"]["dockerfile"]).is_file()
        else:
            assert re.search(r":v?\d+(\.\d+)*$", service["image"])


def test_what_is_mounted_is_there_and_volumes_are_declared(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            if source.startswith("."):
                assert (ROOT / source).exists(), source
            else:
                assert source in compose["volumes"]


def test_nothing_listens_outside_this_machine(compose: dict[str, Any]) -> None:
    ports = [p for service in compose["services"].values() for p in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_no_password_is_written_into_the_file(compose: dict[str, Any]) -> None:
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    passwords = re.findall(r"PASSWORD: (.*)", text)
    assert passwords
    assert all(value.startswith("${") and ":?" in value for value in passwords)


def test_its_variables_are_settings_of_the_program(compose: dict[str, Any]) -> None:
    from dataclasses import fields

    from stretto.settings import Settings, variable_of

    known = {variable_of(one.name) for one in fields(Settings)}
    asked = set(compose["x-stretto"]["environment"])
    assert asked - known <= {"STRETTO_BROKER_URL"}  # that of the fleet


def test_prometheus_scrapes_each_worker_at_the_port_that_it_has(compose: dict[str, Any]) -> None:
    document = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    port = compose["x-stretto"]["environment"]["STRETTO_METRICS_PORT"]
    (job,) = document["scrape_configs"]
    (targets,) = (one["targets"] for one in job["static_configs"])
    assert set(targets) == {f"{name}:{port}" for name in SERVICES if name.startswith("worker")}


def test_the_files_are_those_that_the_program_exports() -> None:
    rules = (DEPLOY / "prometheus" / "stretto-rules.yml").read_text(encoding="utf-8")
    dashboard = (DEPLOY / "grafana" / "stretto.json").read_text(encoding="utf-8")
    assert rules == prometheus_rules(read_rules(""))
    assert json.loads(dashboard) == DashboardGenerator().grafana()


def test_grafana_finds_its_prometheus_and_its_dashboard(compose: dict[str, Any]) -> None:
    folder = DEPLOY / "grafana" / "provisioning"
    sources = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())
    providers = yaml.safe_load((folder / "dashboards" / "stretto.yml").read_text())
    assert sources["datasources"][0]["url"] == "http://prometheus:9090"
    (provider,) = providers["providers"]
    mounts = compose["services"]["grafana"]["volumes"]
    assert any(mount.split(":")[1].startswith(provider["options"]["path"]) for mount in mounts)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_takes_the_configuration_of_prometheus() -> None:
    command = ["promtool", "check", "config", str(DEPLOY / "prometheus" / "prometheus.yml")]
    answer = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_the_how_to_shows_the_commands_that_made_the_files_and_start_it() -> None:
    text = HOW_TO.read_text(encoding="utf-8")
    assert "stretto monitoring export prometheus > stretto-rules.yml" in text
    assert "stretto monitoring export grafana > stretto.json" in text
    assert "docker compose up -d" in text
