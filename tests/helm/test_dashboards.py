"""Dashboards: current, well formed, about metrics that exist, and every query is PromQL."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm.grafana.write import FOLDER, PAGES, files
from tests.helm.names import EXISTING, names, unknown_names

DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
#: what Grafana puts in for its variables
FILLED = {
    "$__rate_interval": "5m",
    "$__range": "1h",
    "$namespace": ".*",
    "$app": ".*",
    "$handler": ".*",
    "$model": ".*",
}


def filled(expression: str) -> str:
    """The expression as Grafana sends it."""
    for name in sorted(FILLED, key=len, reverse=True):
        expression = expression.replace(name, FILLED[name])
    return expression


def expressions(page: dict[str, Any]) -> list[str]:
    """Every query of a dashboard's panels."""
    return [target["expr"] for panel in page["panels"] for target in panel.get("targets", ())]


def test_files_are_current() -> None:
    """The committed JSON is what the code writes; `make docs` writes it anew."""
    assert {path: path.read_text() for path in FOLDER.glob("*.json")} == files()
    assert DASHBOARDS.keys() == PAGES.keys()


@pytest.mark.parametrize("name", PAGES)
def test_grafana_can_address_everything(name: str) -> None:
    """Ids and letters are there and unique; panels do not overlap; each has a title, a source and a reason."""
    page = DASHBOARDS[name]
    assert page["uid"] == f"stepwire-{name}"
    ids = [panel["id"] for panel in page["panels"]]
    assert len(ids) == len(set(ids)) and 0 not in ids
    places: set[tuple[int, int]] = set()
    for panel in page["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & places and at["x"] + at["w"] <= 24
        places |= cells
        if panel["type"] == "row":
            continue
        assert panel["title"] and panel["description"] and panel["datasource"]["uid"] == "${source}"
        letters = [target["refId"] for target in panel["targets"]]
        assert letters and len(set(letters)) == len(letters) and "" not in letters


def test_queries_ask_for_metrics_that_exist_and_leave_none_out() -> None:
    """No panel without data by design; no metric that nobody can see."""
    asked = [one for page in DASHBOARDS.values() for one in expressions(page)]
    assert unknown_names(asked) == set()
    seen = {name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in names(asked)}
    assert {name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in EXISTING} == seen


def test_every_variable_is_declared() -> None:
    """What a query names with a `$` is a variable of its dashboard, or Grafana's own."""
    for page in DASHBOARDS.values():
        declared = {f"${variable['name']}" for variable in page["templating"]["list"]}
        for one in expressions(page):
            used = {name for name in FILLED if name in one}
            assert used <= declared | {"$__rate_interval", "$__range"}
            assert "$" not in filled(one)


def test_every_query_is_promql(promtool: Path, tmp_path: Path) -> None:
    """Prometheus parses each of them."""
    asked = [filled(one) for page in DASHBOARDS.values() for one in expressions(page)]
    rules = [{"record": f"panel:query:{number}", "expr": one} for number, one in enumerate(asked)]
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    said = subprocess.run([promtool, "check", "rules", path], capture_output=True, text=True, check=False, timeout=30)
    assert said.returncode == 0, said.stderr
    assert f"{len(rules)} rules found" in said.stdout
