"""Control groups of pods are the one thing that no namespace takes away."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from tests.brokers.asking import wait_until
from tests.kubernetes import alone


def test_groups_are_swept_while_pods_still_die(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One that is not empty yet is tried again, one that goes by itself is no error; in the end none is left."""
    monkeypatch.setattr(alone, "CGROUPS", tmp_path)
    groups = [tmp_path / kind / "kubepods" / "pod" / "container" for kind in ("memory", "pids")]
    for group in groups:
        group.mkdir(parents=True)
    (process := groups[0] / "process").touch()
    assert not alone.swept()
    assert groups[0].exists() and not groups[1].exists()
    threading.Timer(0.1, process.unlink).start()
    assert wait_until(alone.swept, 10)
    assert alone.leftovers() == []
