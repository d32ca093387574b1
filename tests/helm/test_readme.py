"""The chart's README: a table of all values, which is made from values.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from helm.readme.parameters import CHART, README, NoMeaning, Value, explained, values, written

ROW = re.compile(r"^\| `([\w.-]+)` \| `(.*?)` \| (.+) \|$", flags=re.MULTILINE)


def test_the_table_is_current() -> None:
    """The committed README is what the code writes; `make docs` writes it anew."""
    assert README.read_text("utf-8") == written(README.read_text("utf-8"))


def test_the_table_has_every_value_with_its_default() -> None:
    """Each name that values.yaml has is in a row, alone or in a map, and what stands there is the default."""
    rows = {name: default for name, default, _ in ROW.findall(README.read_text("utf-8"))}
    found = dict(_leaves(yaml.safe_load((CHART / "values.yaml").read_text("utf-8")), rows))
    assert found == {name: yaml.safe_load(default) for name, default in rows.items()} and len(found) > 150


def _leaves(value: Any, rows: dict[str, str], place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and place not in rows:
        for name, inner in value.items():
            yield from _leaves(inner, rows, f"{place}.{name}".lstrip("."))
    else:
        yield place, value


def test_a_value_without_a_meaning_is_refused_by_its_name() -> None:
    """A comment right above it says what it means; only what another part explains may go without."""
    text = "defaults:\n  # Of a pod\n  scratch: 1Gi\ndoor:\n  scratch: 5Gi\n"
    assert explained(values(text))[-1] == Value("door.scratch", "5Gi", "As `defaults.scratch`.")
    with pytest.raises(NoMeaning, match=r"door\.port has no comment"):
        explained(values(f"{text}  port: 1\n"))
