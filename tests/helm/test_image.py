"""The images' recipes fit the chart, and what `stepwire new` writes for it."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.helm.chart import FOLDER, of_kind, pods, render

from stepwire import App
from stepwire_handlers.scaffold import write

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What `stepwire new acme` writes."""
    assert list(write(tmp_path, "acme", "acme"))
    return tmp_path


def test_both_images_run_as_the_chart_says(project: Path) -> None:
    """Two stages; the user and the working folder are the chart's, and the folders that it mounts are there."""
    (worker,) = of_kind(
        render({"app": "a:app", "image": {"repository": "r"}, "bus": {"url": "kafka://k:1"}}), "Deployment"
    )
    held = worker["spec"]["template"]["spec"]["containers"][0]
    for path in (ROOT / "Dockerfile", project / "Dockerfile"):
        text = path.read_text()
        assert len(re.findall(r"^FROM ", text, flags=re.MULTILINE)) == 2
        user = held["securityContext"]
        assert f"\nUSER {user['runAsUser']}:{user['runAsGroup']}\n" in text
        assert f"\nWORKDIR {held['workingDir']}\n" in text and f"{held['workingDir']}/.stepwire" in text
        assert '\nENTRYPOINT ["stepwire"]\n' in text  # no shell between: SIGTERM reaches the worker


def test_the_extras_of_the_images_exist(project: Path) -> None:
    """What a Dockerfile installs is an extra of ours."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"].keys()
    for path in (ROOT / "Dockerfile", project / "Dockerfile"):
        (named,) = re.findall(r'^ARG EXTRAS="?([\w ,]+)"?$', path.read_text(), flags=re.MULTILINE)
        assert set(re.split("[ ,]", named)) <= extras


def test_a_new_projects_image_has_what_its_place_asks(project: Path) -> None:
    """All that the chart starts, its own settings, a wheel of Stepwire if there is one; nothing for development."""
    text = (project / "Dockerfile").read_text()
    build, last = text.split("\nFROM ")[-2:]
    (named,) = re.findall(r"^ARG EXTRAS=([\w,]+)$", build, flags=re.MULTILINE)
    assert {"door", "kafka", "s3"} <= set(named.split(","))
    assert "set -- wheels/stepwire-*.whl " in build and (project / "wheels" / ".gitignore").exists()
    assert "\nWORKDIR /app\n" in last.partition("\nCOPY stepwire.toml ./\n")[0]
    assert tomllib.loads((project / "stepwire.toml").read_text())
    (needed,) = tomllib.loads((project / "pyproject.toml").read_text())["project"]["dependencies"]
    assert "dev" not in re.split(r"[\[\],]", needed)


def test_our_image_can_do_all_that_the_chart_starts() -> None:
    """Kafka, attachments in a store, traces, door, console, tools: each ended at once in an image without its extra."""
    (named,) = re.findall(r'^ARG EXTRAS="([\w ]+)"$', (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    assert {"console", "door", "kafka", "mcp", "otel", "s3"} <= set(named.split())


def test_a_new_project_can_be_installed(project: Path) -> None:
    """The chart takes the values that `stepwire new` writes, and runs the flow that it writes."""
    objects = render(yaml.safe_load((project / "values.yaml").read_text()))
    assert pods(objects)[0]["containers"][0]["image"] == "registry.example/acme:0.1.0"
    (worker,) = of_kind(objects, "Deployment")
    assert worker["spec"]["template"]["spec"]["containers"][0]["args"][1] == "acme.flow:app"
    assert (project / "acme" / "flow.py").exists()


def test_the_pages_groups_are_of_a_new_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/kubernetes.md: each example installs, has every handler once, and scales by groups and topics of theirs."""
    monkeypatch.syspath_prepend(str(project))
    app: App = importlib.import_module("acme.flow").app
    page = (ROOT / "docs" / "kubernetes.md").read_text()
    shapes = [yaml.safe_load(text) for text in re.findall(r"^```yaml\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)]
    assert len(shapes) == 11
    topics = {f"{app.name}.{each.name}": {event.spec.topic for event in each.signature.taken} for each in app.handlers}
    for values in shapes:
        assert render({**shapes[0], **values})
        groups = values.get("workers", {}).values()
        assert sorted(name for group in groups for name in group["handlers"]) in ([], ["answer", "check"])
        for asked in (each for group in groups for each in _triggers(group)):
            assert asked["topic"] in topics[asked["group"]]


def _triggers(group: dict[str, Any]) -> list[dict[str, Any]]:
    return group.get("autoscaling", {}).get("keda", {}).get("triggers", [])


def test_the_chart_is_of_this_release() -> None:
    """Chart and wheel carry one version: the default tag is an image of this code."""
    chart = yaml.safe_load((FOLDER / "Chart.yaml").read_text())
    assert chart["appVersion"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
