"""The chart, rendered by Helm's own library."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from helm_python import Chart

FOLDER = Path(__file__).parents[2] / "helm" / "stepwire"
SHAPES = sorted(path.stem for path in (FOLDER / "ci").glob("*.yaml"))

Values = dict[str, Any]
Object = dict[str, Any]


def values_of(shape: str) -> Values:
    """A values file of `ci/`."""
    return yaml.safe_load((FOLDER / "ci" / f"{shape}.yaml").read_text())


def changed(shape: str, **values: Any) -> Values:
    """A values file with other values at dotted names, dots written as `__`."""
    found = deepcopy(values_of(shape))
    for name, value in values.items():
        *way, last = name.split("__")
        place = found
        for step in way:
            place = place.setdefault(step, {})
        place[last] = value
    return found


def render(values: Values, *, upgrade: bool = False) -> list[Object]:
    """All objects. Raises helm_python's HelmError with the words of the schema, or of a template's `fail`."""
    files = _loaded().render(values, name="acme", namespace="flows", is_install=not upgrade, is_upgrade=upgrade)
    texts = [text for path, text in files.items() if path.endswith(".yaml")]
    return [found for text in texts for found in yaml.load_all(text, yaml.CSafeLoader) if found]


@cache
def _loaded() -> Chart:
    return Chart.load(FOLDER)


def notes(values: Values) -> str:
    """What Helm says after an install."""
    return _loaded().render(values, name="acme", namespace="flows")["stepwire/templates/NOTES.txt"]


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    """Those of some kinds."""
    return [found for found in objects if found["kind"] in kinds]


def pods(objects: list[Object]) -> list[Object]:
    """The spec of every pod, also of those in a template."""
    found = [one["spec"] if one["kind"] == "Pod" else one["spec"]["template"]["spec"]
             for one in of_kind(objects, "Deployment", "Job", "Pod")]  # fmt: skip
    assert found
    return found
