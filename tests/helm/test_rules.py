"""Recording rules and alerts: valid, tested, explained, and about metrics that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import yaml
from tests.helm.chart import FOLDER
from tests.helm.names import unknown_names

RULES = FOLDER / "rules" / "stepwire.yaml"
CASES = sorted(Path(__file__).parent.glob("rules_*test.yaml"))
RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks.md"
ALL = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
ALERTS = [rule for rule in ALL if "alert" in rule]


def test_prometheus_takes_the_rules(promtool: Path) -> None:
    """Promtool finds every rule valid."""
    said = subprocess.run([promtool, "check", "rules", RULES], capture_output=True, text=True, check=False, timeout=30)
    assert said.returncode == 0, said.stderr
    assert f"{len(ALL)} rules found" in said.stdout


def test_alerts_fire_and_resolve(promtool: Path, tmp_path: Path) -> None:
    """Each alert fires when it should, is quiet when it should, and resolves, by promtool's own evaluation."""
    for path in (RULES, *CASES):
        shutil.copy(path, tmp_path)
    said = subprocess.run([promtool, "test", "rules", *(case.name for case in CASES)], cwd=tmp_path, text=True,
                          capture_output=True, check=False, timeout=60)  # fmt: skip
    assert said.returncode == 0, said.stdout + said.stderr


def test_every_alert_has_a_test_in_which_it_fires_and_then_resolves() -> None:
    """A new alert without a test is no alert; nor is one that is never seen to end."""
    resolved = set()
    for case in (case for path in CASES for case in yaml.safe_load(path.read_text())["tests"]):
        fired: set[str] = set()
        for one in sorted(case.get("alert_rule_test", ()), key=lambda one: minutes(one["eval_time"])):
            if one.get("exp_alerts"):
                fired.add(one["alertname"])
            elif one["alertname"] in fired:
                resolved.add(one["alertname"])
    assert resolved == {alert["alert"] for alert in ALERTS}


def minutes(time: str) -> int:
    """Of a time in promtool's words."""
    return int(time[:-1]) * {"m": 1, "h": 60}[time[-1]]


def test_every_alert_says_what_to_do() -> None:
    """Summary, description, severity, and a section of the runbooks by its name; no section without an alert."""
    sections = re.findall(r"^## (\w+)$", RUNBOOKS.read_text(), flags=re.MULTILINE)
    assert sections == [alert["alert"] for alert in ALERTS]
    for alert in ALERTS:
        assert alert["annotations"].keys() == {"summary", "description"}
        assert "{{" not in alert["annotations"]["summary"]
        assert alert["labels"]["severity"] in {"critical", "warning", "info"}


def test_rules_ask_for_metrics_that_exist() -> None:
    """Every metric of a rule is one of the worker's, a recorded one, or Prometheus's own `up`."""
    recorded = {rule["record"] for rule in ALL if "record" in rule}
    assert unknown_names([rule["expr"] for rule in ALL]) - recorded == set()
