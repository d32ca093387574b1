"""Recording rules and alerts: valid, tested, explained, and about metrics that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from tests.helm.chart import FOLDER, changed, of_kind, render
from tests.helm.names import unknown_names

RULES = FOLDER / "rules" / "stepwire.yaml"
CASES = sorted(Path(__file__).parent.glob("rules_*test.yaml"))
RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks.md"
THRESHOLDS = yaml.safe_load((FOLDER / "values.yaml").read_text())["monitoring"]["thresholds"]
#: the alerts that each of the values changes, and in how many places
CHANGED = {
    "lagMessages": {"StepwireLagGrows": 1},
    "lagSeconds": {"StepwireLagTooOld": 1, "StepwireNotDraining": 1},
    "recordSeconds": {"StepwireWatermarkStuck": 1},
    "pollSeconds": {"StepwirePollLoopStalled": 1},
    "callSeconds": {"StepwireHandlerStuck": 1},
    "gateShare": {"StepwireGateExpires": 1},
    "deadLetters": {"StepwireDeadLetters": 1},
    "errorBudget": {"StepwireHandlerFails": 2, "StepwireHandlerFailsSlowly": 4},
    "commitFailures": {"StepwireCommitFailures": 1},
    "rebalances": {"StepwireRebalanceStorm": 1},
    "refusedShare": {"StepwireModelRateLimited": 1},
    "doorErrorShare": {"StepwireDoorErrors": 1},
}
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


def rendered(**thresholds: float) -> list[dict[str, str]]:
    """The rules of a release."""
    watched = {"prometheusRule": True, "thresholds": thresholds}
    (found,) = of_kind(render(changed("least", monitoring=watched)), "PrometheusRule")
    return [rule for group in found["spec"]["groups"] for rule in group["rules"]]


def test_every_number_with_a_name_in_the_rules_is_a_value_of_the_chart_and_the_same() -> None:
    """What Prometheus takes without the chart has the chart's defaults; no name is left that nobody can set."""
    marked = re.findall(r"([0-9.]+) # (\w+)$", RULES.read_text(), flags=re.MULTILINE)
    assert {name: float(number) for number, name in marked} == THRESHOLDS
    assert len({*marked}) == len(THRESHOLDS) and CHANGED.keys() == THRESHOLDS.keys()
    assert rendered() == ALL


@pytest.mark.parametrize("name", CHANGED)
def test_a_threshold_arrives_in_its_alerts_and_in_no_other(name: str) -> None:
    """A value of the chart is the number in each expression of those alerts; all else stays as it is."""
    value = 0.0123 if THRESHOLDS[name] < 1 and name != "deadLetters" else 2345678
    changed_ = [(rule, told) for rule, told in zip(ALL, rendered(**{name: value}), strict=True) if rule != told]
    assert {told["alert"]: told["expr"].count(f"{value} # {name}\n") for _, told in changed_} == CHANGED[name]
    for rule, told in changed_:
        assert told["expr"] == re.sub(rf"[0-9.]+ # {name}$", f"{value} # {name}", rule["expr"], flags=re.MULTILINE)


def test_prometheus_takes_rules_with_other_thresholds(promtool: Path, tmp_path: Path) -> None:
    """Promtool finds them valid, and each expression is evaluated with the number that was given."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "a", "rules": rendered(lagSeconds=60)}]}))
    series = {"series": 'stepwire_consumer_lag_seconds{namespace="a", group="a.b"}', "values": "61x30"}
    seen = {"alertname": "StepwireLagTooOld", "eval_time": "11m"}
    old = [{"exp_labels": {"severity": "warning", "namespace": "a", "group": "a.b"}}]
    case = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [
        {"interval": "1m", "input_series": [series], "alert_rule_test": [{**seen, "exp_alerts": old}]}]}  # fmt: skip
    for rule in old:
        rule["exp_annotations"] = {"summary": "The first unfinished record waits for too long.",
                                   "description": "The first unfinished record of a.b is 1m 1s old."}  # fmt: skip
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(case))
    said = subprocess.run([promtool, "test", "rules", "test.yaml"], cwd=tmp_path, text=True, capture_output=True,
                          check=False, timeout=30)  # fmt: skip
    assert said.returncode == 0, said.stdout + said.stderr
