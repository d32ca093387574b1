"""What takes long says so first: who has just cloned the repository must not take a download for a hang."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 10.0  #: on a busy machine; by itself it takes milliseconds


@pytest.mark.parametrize(
    ("target", "ready", "says"),
    [
        (["operate"], False, "setting up .venv from uv.lock"), (["demo"], False, "setting up .venv from uv.lock"),
        (["operate"], True, "make operate: starting Kafka or a file as bus, workers, door, console and Prometheus"),
        (["demo"], True, "make demo: the flow invoices, BUS=local"),
        (["demo", "BUS=kafka", "FLOW=support"], True, "make demo: the flow support, BUS=kafka"),
    ],
)  # fmt: skip
def test_the_first_line_comes_before_the_work(tmp_path: Path, target: list[str], ready: bool, says: str) -> None:
    """Whatever is started next has not come to an end, nor said anything, when it is there."""
    for name in ("Makefile", "pyproject.toml", "uv.lock"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name in ("python", "uv", "stepwire"):
        slow = tmp_path / ".venv" / "bin" / name
        slow.write_text("#!/bin/sh\nexec sleep 60\n")
        slow.chmod(0o755)
    if ready:
        (tmp_path / ".venv" / ".ready").touch()
    kept = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    running = subprocess.Popen(
        ["make", *target], cwd=tmp_path, env=kept, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert running.stderr is not None
    try:
        with DefaultSelector() as waits:
            waits.register(running.stderr, EVENT_READ)
            assert waits.select(SECONDS), "nothing was said"
        assert running.stderr.readline().startswith(says)
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.communicate()
