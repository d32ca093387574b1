"""A shell on a file of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.shell import HERE, Shell


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    monkeypatch.chdir(HERE)
    monkeypatch.setattr(sys, "path", [str(HERE), *sys.path])
    found = Shell(tmp_path)
    for name, value in found.environment.items():
        if name.startswith("STEPWIRE_"):
            monkeypatch.setenv(name, value)
    yield found
    found.close()
