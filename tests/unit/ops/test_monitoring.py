"""Alerts, boards and the runbook, held together and against the metrics there are; and Prometheus' own judgement."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import prometheus
import pytest
import yaml
from running import PATIENCE

PROJECT = Path(__file__).parents[3]
OPS = PROJECT / "ops"
RULE_FILES = ("slo.yml", "symptoms.yml")
RULES: list[dict[str, Any]] = [
    rule
    for file in RULE_FILES
    for group in yaml.safe_load((OPS / "prometheus" / file).read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((OPS / "grafana" / "boards").glob("*.json"))}
QUERIES = [target["expr"] for board in BOARDS.values() for panel in board["panels"] for target in panel["targets"]]
CONFIG = yaml.safe_load((OPS / "prometheus" / "prometheus.yml").read_text())
RUNBOOK = (PROJECT / "docs" / "runbook.md").read_text()
OUR_NAME = re.compile(r"\b(?:classpulse_|batching_|kafka_)\w+")
OUR_RECORD = re.compile(r"\bclasspulse:[\w:]+")


def _promtool() -> str:
    if (program := prometheus.find("promtool")) is None:
        pytest.skip("there is no promtool; `make test` fetches it where there is apt-get")
    return program


def _run(*arguments: str) -> None:
    done = subprocess.run(
        [_promtool(), *arguments], cwd=OPS / "prometheus", capture_output=True, text=True, timeout=240 * PATIENCE
    )
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}"


def test_prometheus_takes_the_configuration_and_its_rules() -> None:
    _run("check", "config", "--syntax-only", "prometheus.yml")
    _run("check", "rules", *RULE_FILES)
    assert CONFIG["rule_files"] == list(RULE_FILES)


def test_alerts_fire_when_they_must_and_only_then() -> None:
    _run("test", "rules", "slo_test.yaml", "symptoms_test.yaml")


def test_each_alert_has_a_test_of_both() -> None:
    seen: dict[str, set[bool]] = {}
    for file in ("slo_test.yaml", "symptoms_test.yaml"):
        for case in yaml.safe_load((OPS / "prometheus" / file).read_text())["tests"]:
            for asked in case["alert_rule_test"]:
                seen.setdefault(asked["alertname"], set()).add(bool(asked["exp_alerts"]))
    assert seen == {name: {True, False} for name in ALERTS}


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_leads_to_its_section(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in ("page", "ticket")
    assert {"summary", "description", "runbook_url"} == set(alert["annotations"])
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert (PROJECT / page).exists()
    assert anchor in [heading.lower() for heading in re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE)]


def test_each_section_for_an_alert_is_about_one_and_says_what_to_do() -> None:
    for section in RUNBOOK.split("\n# Alerts\n")[1].split("\n# ")[0].split("\n## ")[1:]:
        name, _, text = section.partition("\n")
        assert name in ALERTS
        assert re.findall(r"^\*\*(Means|Look|Do|It worked)\b", text, re.MULTILINE) == [
            "Means",
            "Look",
            "Do",
            "It worked",
        ]


def _series() -> set[str]:
    """What a process tells, by docs/metrics.md, which the code's registries are held against."""
    names = set()
    for name, kind in re.findall(r"^\| `(\w+)` \| (\w+) ", (PROJECT / "docs" / "metrics.md").read_text(), re.MULTILINE):
        names |= {f"{name}_{part}" for part in ("bucket", "count", "sum")} if kind == "histogram" else {name}
    return names


def test_every_metric_in_rules_and_boards_is_there() -> None:
    expressions = [*QUERIES, *(rule["expr"] for rule in RULES)]
    named = {name for expression in expressions for name in OUR_NAME.findall(expression)}
    assert named
    assert named <= _series()
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    assert {name for expression in expressions for name in OUR_RECORD.findall(expression)} == recorded


def test_objectives_name_what_is_recorded_and_who_tells() -> None:
    text = (PROJECT / "docs" / "slo.md").read_text()
    assert set(OUR_RECORD.findall(text)) <= {rule["record"] for rule in RULES if "record" in rule}
    told = {
        name for row in re.findall(r"^\| (`[A-Z].*?) \|", text, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert told == {name for name in ALERTS if re.match(r"IngestErrors|LiveLate", name)}


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_is_of_panels_that_do_not_lie_on_each_other(name: str) -> None:
    board = BOARDS[name]
    assert board["uid"] == f"classpulse-{name}"
    places = [
        (x, y)
        for at in (panel["gridPos"] for panel in board["panels"])
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(places) == len(set(places))
    assert max(x for x, _ in places) < 24
    assert {panel["datasource"]["uid"] for panel in board["panels"]} == {"classpulse"}


def test_the_four_boards_are_there() -> None:
    assert set(BOARDS) == {"on-call", "pipeline", "gateway", "viewers"}


def test_prometheus_asks_where_the_processes_listen() -> None:
    services = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())["services"]
    asked = {}
    for job in CONFIG["scrape_configs"]:
        for by_name in job.get("dns_sd_configs", []):
            asked[job["job_name"]] = f"{by_name['names'][0]}:{by_name['port']}"
        for fixed in job.get("static_configs", []):
            (asked[job["job_name"]],) = fixed["targets"]
    ports = {
        name: service["environment"].get("CLASSPULSE_WORKER_PORT") or service["environment"]["CLASSPULSE_GATEWAY_PORT"]
        for name, service in services.items()
        if service.get("image", "").startswith("classpulse:") and name != "init"
    }
    assert asked == {name: f"{name}:{port}" for name, port in ports.items()}
