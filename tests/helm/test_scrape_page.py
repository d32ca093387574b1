"""The configuration of Prometheus that docs/observability.md has for where there is no Kubernetes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import yaml
from tests.operate.prometheus import PAGE, RULES, on_the_page

DASHBOARDS = RULES.parents[1] / "dashboards"


def test_prometheus_takes_the_page_s_configuration(promtool: Path, tmp_path: Path) -> None:
    """Promtool finds it valid, with our rules where it names a copy of them."""
    told = on_the_page()
    assert [Path(name).name for name in told["rule_files"]] == [RULES.name]
    shutil.copy(RULES, tmp_path)
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(told | {"rule_files": [RULES.name]}))
    said = subprocess.run([promtool, "check", "config", tmp_path / "prometheus.yml"], capture_output=True, text=True,
                          check=False, timeout=30)  # fmt: skip
    assert said.returncode == 0, said.stderr
    assert "1 rule files found" in said.stdout and "rules found" in said.stdout


def test_it_scrapes_what_the_page_starts() -> None:
    """Each process that the page has a command for, on its port, is a target, and nothing else is."""
    section = PAGE.read_text("utf-8").partition("## Prometheus without Kubernetes")[2].partition("\n## ")[0]
    started = dict(re.findall(r"^stepwire (\w+) MODULE:app.*--http-port (\d+)", section, re.MULTILINE))
    jobs = {job["job_name"]: job["static_configs"][0]["targets"] for job in on_the_page()["scrape_configs"]}
    assert {name.replace("run", "worker"): f"127.0.0.1:{port}" for name, port in started.items()} == {
        name: targets[0] for name, targets in jobs.items()
    }
    ports = [target for targets in jobs.values() for target in targets]
    assert len({*ports}) == len(ports) and not {"127.0.0.1:9090"} & {*ports}  # Prometheus's own


def test_every_series_gets_the_labels_that_rules_and_dashboards_ask_for() -> None:
    """Without a namespace a dashboard's choice is empty, and two deployments count as one."""
    asked = RULES.read_text("utf-8") + "".join(path.read_text("utf-8") for path in DASHBOARDS.glob("*.json"))
    assert "namespace" in asked
    labels = [static["labels"] for job in on_the_page()["scrape_configs"] for static in job["static_configs"]]
    assert [*map(sorted, labels)] == [["namespace"]] * len(labels)
    assert len({label["namespace"] for label in labels}) == 1
