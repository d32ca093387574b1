"""What the tests of the model step share: no settings of this machine, a folder of prompts, a delivery."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stepwire import Context


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("ANTHROPIC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    (tmp_path / "ask.md").write_text("---\nversion: 2\nsystem: Be brief.\n---\nRead this.\n\n{{text}}\n")
    (tmp_path / "outline.md").write_text("Plan it.\n\n{{subject}} for {{audience}}\n")
    (tmp_path / "strong.md").write_text("---\nmodel: strong\n---\n{{text}}\n")
    return tmp_path


@pytest.fixture
def context() -> Context:
    return Context(
        app="a", handler="h", run="r", scope="", key="k", attempt=1, visit=1, last_visit=False, missing=(),
        deadline=60.0, now=lambda: 0.0, inputs={},
    )  # fmt: skip
